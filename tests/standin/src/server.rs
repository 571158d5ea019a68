//! The stand-in as a whole: a thread with a runtime of its own, and the handle that synchronous tests hold.

use crate::destination::Destination;
use crate::fault::{ApiRule, Fault};
use crate::http;
use crate::hub::Hub;
use crate::options::{Node, Options};
use crate::report::Report;
use crate::shared::Shared;
use crate::sigv4::Credentials;
use crate::tls;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

enum Order {
    Fault(Option<String>, Fault),
    Rule(ApiRule),
    Node(Node),
    Destination(Destination),
    Stop,
}

/// A running stand-in. Dropping it ends everything.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    options: Options,
    ca_pem_path: Option<PathBuf>,
    shared: Shared,
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// Lets things go wrong while the stand-in runs. What it orders happens soon after; wait for it with
/// [`Server::wait_for`]: each session's report counts its faults.
#[derive(Debug, Clone)]
pub struct Control {
    orders: UnboundedSender<Order>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fault(session, fault) => write!(f, "Fault({session:?}, {fault:?})"),
            Self::Rule(rule) => write!(f, "Rule({rule:?})"),
            Self::Node(node) => write!(f, "Node({node:?})"),
            Self::Destination(destination) => write!(f, "Destination({destination:?})"),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

impl Control {
    /// Lets something go wrong on every session.
    pub fn fault(&self, fault: Fault) {
        let _ = self.orders.send(Order::Fault(None, fault));
    }

    /// Lets something go wrong on one session.
    pub fn fault_on(&self, session: &str, fault: Fault) {
        let _ = self.orders.send(Order::Fault(Some(session.to_owned()), fault));
    }

    /// The service's hourly close, on every session (§2).
    pub fn bye(&self) {
        self.fault(Fault::bye());
    }

    /// Resets every client's socket.
    pub fn reset(&self) {
        self.fault(Fault::Reset);
    }

    /// Neither reads from nor writes to clients' sockets for this long.
    pub fn silence(&self, time: Duration) {
        self.fault(Fault::Silent(time));
    }

    /// Makes calls of the API fail from now on.
    pub fn api_rule(&self, rule: ApiRule) {
        let _ = self.orders.send(Order::Rule(rule));
    }

    /// Makes a node known from now on, in place of the one with its id: it is launched, or stops.
    pub fn put_node(&self, node: Node) {
        let _ = self.orders.send(Order::Node(node));
    }

    /// Makes this the only thing at its host and port from now on. Sessions that began when nothing was known of the
    /// host never reach it: it was looked up then.
    pub fn put_destination(&self, destination: Destination) {
        let _ = self.orders.send(Order::Destination(destination));
    }
}

impl Server {
    /// Starts a stand-in and returns when it listens.
    ///
    /// # Errors
    /// The address cannot be bound, the certificate cannot be made or written, the thread cannot be started.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        if let Some(bytes) = options.send_buffer {
            socket2::SockRef::from(&listener).set_send_buffer_size(bytes)?;
        }
        let address = listener.local_addr()?;
        let (acceptor, ca_pem_path) = if options.tls {
            let names: Vec<_> = options.host_names.iter().chain(&options.host).cloned().collect();
            let issued = tls::issue(&names)?;
            let path = options.ca_pem_path.clone().unwrap_or_else(|| {
                std::env::temp_dir().join(format!("standin-ca-{}-{}.pem", std::process::id(), address.port()))
            });
            std::fs::write(&path, &issued.authority_pem)?;
            (Some(issued.acceptor()?), Some(path))
        } else {
            (None, None)
        };
        let shared = Shared::default();
        let (orders, receiver) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let host = options.stream_host.clone().unwrap_or_else(|| authority(&options, address));
        let stream_base = format!("{}://{host}", if options.tls { "wss" } else { "ws" });
        let (thread_options, thread_shared) = (options.clone(), shared.clone());
        let thread = std::thread::Builder::new().name("standin".into()).spawn(move || {
            let local = tokio::task::LocalSet::new();
            let hub = Rc::new(Hub::new(thread_options, stream_base, thread_shared));
            local.block_on(&runtime, serve(hub, listener, acceptor, receiver));
        })?;
        Ok(Self { address, options, ca_pem_path, shared, orders, thread: Some(thread) })
    }

    /// What to put into `AWS_ENDPOINT_URL_SSM`.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.options.tls { "https" } else { "http" }, self.authority())
    }

    /// Host and port of its URLs.
    pub fn authority(&self) -> String {
        authority(&self.options, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The region that signatures must name.
    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// The identity that signatures must be made with.
    pub fn credentials(&self) -> &Credentials {
        &self.options.credentials
    }

    /// PEM file of the authority to trust, when it serves TLS.
    pub fn ca_pem_path(&self) -> Option<&Path> {
        self.ca_pem_path.as_deref()
    }

    /// What happened so far.
    pub fn report(&self) -> Report {
        self.shared.snapshot()
    }

    /// Waits until `condition` holds, at most `timeout`; says whether it holds.
    pub fn wait_for(&self, timeout: Duration, condition: impl FnMut(&Report) -> bool) -> bool {
        self.shared.wait_for(timeout, condition)
    }

    /// The handle for faults at run time.
    pub fn control(&self) -> Control {
        Control { orders: self.orders.clone() }
    }
}

fn authority(options: &Options, address: SocketAddr) -> String {
    match &options.host {
        Some(host) => format!("{host}:{}", address.port()),
        None => address.to_string(),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if self.options.ca_pem_path.is_none()
            && let Some(path) = &self.ca_pem_path
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn serve(
    hub: Rc<Hub>,
    listener: std::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
    mut orders: UnboundedReceiver<Order>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Fault(session, fault)) => hub.fault(session.as_deref(), &fault),
                Some(Order::Rule(rule)) => hub.service.borrow_mut().add_rule(rule),
                Some(Order::Node(node)) => hub.service.borrow_mut().put_node(node),
                Some(Order::Destination(destination)) => hub.put_destination(destination),
                Some(Order::Stop) | None => return,
            },
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    tokio::task::spawn_local(connection(hub.clone(), stream, acceptor.clone()));
                }
            }
        }
    }
}

async fn connection(hub: Rc<Hub>, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
    // A socket that cannot be prepared is as good as one that broke.
    let Ok((stream, handle)) = with_handle(stream) else { return };
    match acceptor {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                http1(hub, stream, handle).await;
            }
        }
        None => http1(hub, stream, handle).await,
    }
}

/// The stream and a second handle on its socket, with which it can be reset under whatever was built upon it.
fn with_handle(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let handle = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, handle))
}

async fn http1<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(hub: Rc<Hub>, stream: S, tcp: std::net::TcpStream) {
    let tcp = Rc::new(tcp);
    let service = service_fn(move |request| http::handle(hub.clone(), tcp.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a client leaves its connection is its own affair.
    let _ = connection.with_upgrades().await;
}
