//! The ideal tunnel of a given rate: nothing waits in it but the next kilobyte.

use std::io::{Read, Result, Write, stdin, stdout};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// What Session Manager puts into one message.
const MESSAGE: usize = 1024;

/// The smallest pipe there is.
#[cfg(target_os = "linux")]
const PIPE: usize = 4096;

/// Joins stdin and stdout to `address`; uploads at most `rate` bytes a second.
pub(crate) fn run(address: &str, rate: u32) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut down = stream.try_clone()?;
    let downloads = thread::spawn(move || -> Result<()> {
        let (mut stdout, mut chunk) = (stdout().lock(), vec![0; 64 << 10]);
        while let length @ 1.. = down.read(&mut chunk)? {
            stdout.write_all(chunk.get(..length).unwrap_or_default())?;
            stdout.flush()?;
        }
        Ok(())
    });
    // ssh fills whatever pipe it is given, and only here can that be changed.
    #[cfg(target_os = "linux")]
    rustix::pipe::fcntl_setpipe_size(std::io::stdin(), PIPE)?;
    let (mut stdin, mut message) = (stdin().lock(), [0; MESSAGE]);
    let mut next = Instant::now();
    while let length @ 1.. = stdin.read(&mut message)? {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        // Like a token bucket, it makes up for late wake-ups, and for no more than that.
        let earliest = Instant::now() - Duration::from_millis(5);
        next = next.max(earliest) + Duration::from_secs_f64(length as f64 / f64::from(rate));
        stream.write_all(message.get(..length).unwrap_or_default())?;
    }
    let _ = stream.shutdown(Shutdown::Write);
    // What ends the download ends the program; its reason is for nobody.
    let _ = downloads.join();
    Ok(())
}
