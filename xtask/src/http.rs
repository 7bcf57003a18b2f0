//! The part of HTTP over loopback that loads a server, and that a small server needs.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Whether requests share a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// A new connection for each request.
    Fresh,
    /// One connection per client thread.
    Kept,
}

/// Sends `requests` GETs of `/` from `clients` threads, and waits for every answer.
pub fn load(server: SocketAddr, clients: u32, requests: u32, connections: Connections) -> Result<()> {
    let share = requests / clients;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(move || match connections {
                    Connections::Fresh => (0..share).try_for_each(|_| get_all(server, 1)),
                    Connections::Kept => get_all(server, share),
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a client thread panicked"))??;
        }
        Ok(())
    })
}

fn get_all(server: SocketAddr, requests: u32) -> Result<()> {
    let stream = TcpStream::connect(server).with_context(|| format!("cannot connect to {server}"))?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for left in (0..requests).rev() {
        let close = if left == 0 { "Connection: close\r\n" } else { "" };
        (&stream).write_all(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{close}\r\n").as_bytes())?;
        read_answer(&mut answers)?;
    }
    Ok(())
}

fn read_answer(answers: &mut impl BufRead) -> Result<()> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.") || line.split(' ').nth(1) != Some("200") {
        bail!("the server answered '{}'", line.trim());
    }
    let mut length = 0;
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().context("a bad content-length")?;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    Ok(())
}

/// Starts a server on a free loopback port that answers every request with one line. It runs until this
/// process ends.
pub fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream);
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while requests.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\nhello, world\n")?;
    Ok(())
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_answered_by_the_server() {
        let server = serve().unwrap();

        load(server, 2, 10, Connections::Fresh).unwrap();
    }

    #[test]
    fn an_answer_other_than_200_is_an_error() {
        assert!(read_answer(&mut b"HTTP/1.1 503 Busy\r\n\r\n".as_slice()).is_err());
        assert!(read_answer(&mut b"".as_slice()).is_err());
    }
}
