//! Joins a port of a node to stdin and stdout: `cargo run --example port i-0123456789abcdef0 22`

use std::io::Error;
use std::time::Instant;

use ssm_aws::{Aws, Overrides, StartRequest};
use ssm_session::{Event, Options, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt, stdin, stdout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (Some(target), Some(port)) = (std::env::args().nth(1), std::env::args().nth(2)) else {
        return Err("usage: port TARGET PORT".into());
    };
    let parameters = [("portNumber".to_owned(), vec![port])].into();
    let request = StartRequest { target, document: "AWS-StartSSHSession".to_owned(), parameters, reason: None };
    let aws = Aws::load(&Overrides::default()).await?;
    let mut session = Session::start(&aws, &request, Options::default()).await?;
    let (mut stdin, mut stdout, mut buffer, mut ended) = (stdin(), stdout(), vec![0; 4096], false);
    loop {
        let room = session.send_capacity(Instant::now()).min(buffer.len());
        tokio::select! {
            read = stdin.read(buffer.get_mut(..room).unwrap_or_default()), if room > 0 && !ended => match read? {
                0 => { ended = true; session.finish() }
                length => { session.send(Instant::now(), buffer.get(..length).unwrap_or_default()); }
            },
            event = session.next() => match event {
                Event::Output(bytes) => { stdout.write_all(&bytes).await?; stdout.flush().await? }
                Event::Closed(why) if why.is_over() => break,
                Event::Closed(why) => { session.terminate().await?; return Err(Error::other(format!("{why:?}")).into()) }
                _ => {}
            },
        }
    }
    session.close().await;
    Ok(())
}
