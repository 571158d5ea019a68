//! What the target's port leads to, for measurements that see bytes and not SSH.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;

use crate::meter::Meter;

/// What it says first, as sshd does: clients may wait for it before they send.
pub(crate) const BANNER: &[u8] = b"SSH-2.0-bench\r\n";
/// Bytes written and read at once.
const CHUNK: usize = 64 << 10;

/// What a far end does besides greeting and taking everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Far {
    /// Nothing.
    Takes,
    /// Sends without end, as fast as it is taken.
    Sends,
    /// Sends back what it takes.
    Echoes,
}

impl Far {
    /// Listens on a free port; counts what all connections bring. Its threads end with the program.
    pub(crate) fn listen(self) -> io::Result<(SocketAddr, Meter)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let meter = Meter::default();
        let counter = meter.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let meter = counter.clone();
                // The end of a connection, however it comes, is the client's affair.
                thread::spawn(move || drop(self.serve(stream, &meter)));
            }
        });
        Ok((address, meter))
    }

    fn serve(self, mut stream: TcpStream, meter: &Meter) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.write_all(BANNER)?;
        if self == Self::Sends {
            let mut sender = stream.try_clone()?;
            thread::spawn(move || pump(&mut sender));
        }
        let mut chunk = vec![0; CHUNK];
        while let length @ 1.. = stream.read(&mut chunk)? {
            meter.count(length);
            if self == Self::Echoes {
                stream.write_all(chunk.get(..length).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// Writes bytes without a pattern until nobody takes them any more.
pub(crate) fn pump(to: &mut impl Write) {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| fixtures::noise(1, CHUNK));
    while to.write_all(noise).is_ok() {}
}
