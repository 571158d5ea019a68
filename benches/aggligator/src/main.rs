//! Both halves of a connection that aggligator carries over several sessions, as `ssm-proxy --bond` and `ssm-proxy-join` do.
//!
//!     aggligator-baseline far LISTEN TO            on the node: joins links that come to LISTEN, and connects to TO
//!     aggligator-baseline near N SECONDS COMMAND…  joins stdin and stdout over N processes of COMMAND, SECONDS apart

use std::error::Error;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::Stdio;
use std::time::Duration;

use aggligator::alc::Stream;
use aggligator::cfg::Cfg;
use aggligator::connect::{Server, connect};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Bytes copied at once.
const PIECE: usize = 2048;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["far", listen, to] => far(listen, to).await,
        ["near", links, apart, command @ ..] if !command.is_empty() => {
            near(links.parse()?, Duration::from_secs_f64(apart.parse()?), command).await
        }
        _ => Err("usage: aggligator-baseline far LISTEN TO | near N SECONDS COMMAND…".into()),
    }
}

/// Little waits in it, so that a key's echo does not wait either; AGGLIGATOR_DEFAULTS=1 takes the crate's own settings.
fn settings() -> Result<Cfg> {
    let mut settings = Cfg::default();
    if std::env::var_os("AGGLIGATOR_DEFAULTS").is_none() {
        settings.io_write_size = NonZeroUsize::try_from(PIECE)?;
        settings.send_buffer = NonZeroU32::try_from(512 << 10)?;
        settings.recv_buffer = NonZeroU32::try_from(512 << 10)?;
        settings.send_queue = NonZeroUsize::try_from(32)?;
        settings.recv_queue = NonZeroUsize::try_from(32)?;
        settings.link_unacked_limit = NonZeroUsize::try_from(48 << 10)?;
        settings.link_flush_delay = Duration::from_millis(1);
    }
    Ok(settings)
}

async fn far(listen: &str, to: &str) -> Result {
    let listener = TcpListener::bind(listen).await?;
    let server = Server::new(settings()?);
    let mut connections = server.listen()?;
    let to = to.to_owned();
    tokio::spawn(async move {
        while let Ok(incoming) = connections.next().await {
            let (task, channel, _) = incoming.accept();
            tokio::spawn(task.into_future());
            let to = to.clone();
            tokio::spawn(async move {
                let Ok(stream) = TcpStream::connect(to).await else { return };
                let _ = stream.set_nodelay(true);
                let (read, write) = stream.into_split();
                join(channel.into_stream(), read, write).await;
            });
        }
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = server.clone();
        tokio::spawn(async move {
            let (read, write) = stream.into_split();
            let _ = server.add_incoming_io(read, write, (), &[]).await;
        });
    }
}

async fn near(links: usize, apart: Duration, command: &[&str]) -> Result {
    let (task, outgoing, control) = connect(settings()?);
    tokio::spawn(task.into_future());
    let (program, arguments) = command.split_first().ok_or("no command")?;
    for number in 0..links {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let control = control.clone();
        tokio::spawn(async move {
            tokio::time::sleep(apart.mul_f64(number as f64)).await;
            let Ok(mut session) = command.spawn() else { return };
            let (Some(write), Some(read)) = (session.stdin.take(), session.stdout.take()) else { return };
            if let Ok(link) = control.add_io(read, write, (), &[]).await {
                let why = link.disconnected().await;
                eprintln!("a link has ended: {why}");
            }
        });
    }
    join(outgoing.connect().await?.into_stream(), tokio::io::stdin(), tokio::io::stdout()).await;
    Ok(())
}

/// Copies both ways, until either end is gone. aggligator flushes by itself.
async fn join(stream: Stream, here: impl AsyncRead + Unpin, there: impl AsyncWrite + Unpin) {
    let (from, to) = tokio::io::split(stream);
    tokio::select! {
        () = copy(here, to, false) => {}
        () = copy(from, there, true) => {}
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, flushes: bool) {
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..count]).await.is_err() || (flushes && to.flush().await.is_err()) {
            return;
        }
    }
    let _ = to.shutdown().await;
}
