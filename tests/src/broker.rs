//! Debian's nats-server with JetStream, and a client of a few lines that reads its streams as they are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::{self, Running, wait_until};

/// A server on a loopback port, whose streams are in files; dropping it kills it.
pub struct Broker {
    folder: PathBuf,
    port: u16,
    running: Option<Running>,
}

/// A message as it lies in a stream.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its text.
    pub payload: Vec<u8>,
}

impl Stored {
    /// The text as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A loopback port that nothing listens at.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

impl Broker {
    /// Starts a server that keeps its files in `folder`, with more lines of configuration.
    pub fn start(folder: &Path, more: &str) -> Broker {
        let port = free_port();
        fs::create_dir_all(folder).expect("a folder for the broker");
        let store = folder.join("streams");
        let configuration = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{more}\n",
            store.display()
        );
        fs::write(folder.join("nats.conf"), configuration).expect("the broker's configuration");
        let mut broker = Broker { folder: folder.to_path_buf(), port, running: None };
        broker.restart();
        broker
    }

    /// The port that it listens at, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(libc::SIGKILL);
            running.finish();
        }
    }

    /// Starts it where none runs, on the same port and files, and waits until it listens.
    pub fn restart(&mut self) {
        let mut command = Command::new("/usr/sbin/nats-server");
        command.arg("-c").arg(self.folder.join("nats.conf")).arg("-l").arg(self.folder.join("log"));
        let mut running = child::start(command, b"");
        let port = self.port;
        wait_until("nats-server", || {
            assert!(running.is_alive(), "nats-server ended before it listened");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        self.running = Some(running);
    }

    /// A connection of a plain client.
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }
}

/// A client of the text protocol (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
pub struct Client {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    requests: u32,
}

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        let lines = BufReader::new(stream.try_clone().expect("a second descriptor"));
        let mut client = Client { stream, lines, requests: 0 };
        client.send(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB in.> 1\r\n");
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Publishes a message with headers, and waits until a stream has it.
    pub fn publish(&mut self, subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> Value {
        let mut head = String::from("NATS/1.0\r\n");
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        self.requests += 1;
        let all = head.len() + payload.len();
        let line = format!("HPUB {subject} in.{} {} {all}\r\n", self.requests, head.len());
        self.send(&[line.as_bytes(), head.as_bytes(), payload, b"\r\n"].concat());
        serde_json::from_slice(&self.answer().payload).expect("an acknowledgement")
    }

    fn request(&mut self, subject: &str, payload: &str) -> Stored {
        self.requests += 1;
        let line = format!("PUB {subject} in.{} {}\r\n{payload}\r\n", self.requests, payload.len());
        self.send(line.as_bytes());
        self.answer()
    }

    /// The next message; answers the server's own questions before.
    fn answer(&mut self) -> Stored {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).expect("the broker answers");
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let number = |place: usize| words[words.len() - place].parse::<usize>().expect("a length");
            let (head, all) = match words.first().copied() {
                Some("MSG") => (0, number(1)),
                Some("HMSG") => (number(2), number(1)),
                Some("PING") => {
                    self.send(b"PONG\r\n");
                    continue;
                }
                Some(_) if words[0] != "-ERR" => continue,
                _ => panic!("the broker says: {line}"),
            };
            let mut bytes = vec![0; all + 2];
            self.lines.read_exact(&mut bytes).expect("a whole message");
            bytes.truncate(all);
            let payload = bytes.split_off(head);
            let text = String::from_utf8(bytes).expect("headers are text");
            let mut headers = BTreeMap::new();
            for line in text.lines().filter(|line| !line.is_empty()) {
                let (name, value) = line.split_once(':').unwrap_or(("status", line));
                headers.insert(name.to_owned(), value.trim().to_owned());
            }
            return Stored { subject: String::new(), headers, payload };
        }
    }

    /// What the server says of a stream, or a consumer (`STREAM.NAME`, `CONSUMER.STREAM.NAME` …).
    pub fn info(&mut self, kind: &str, name: &str) -> Value {
        serde_json::from_slice(&self.request(&format!("$JS.API.{kind}.INFO.{name}"), "").payload)
            .expect("information is JSON")
    }

    /// All messages of a stream, in their order; none where there is no such stream.
    pub fn messages(&mut self, stream: &str) -> Vec<Stored> {
        let info = self.info("STREAM", stream);
        let [first, last] = ["first_seq", "last_seq"].map(|name| info["state"][name].as_u64().unwrap_or(0));
        let mut messages = Vec::new();
        for sequence in first.max(1)..=last {
            let request = json!({ "seq": sequence }).to_string();
            let mut message = self.request(&format!("$JS.API.DIRECT.GET.{stream}"), &request);
            if let Some(subject) = message.headers.get("Nats-Subject") {
                message.subject = subject.clone();
                messages.push(message);
            }
        }
        messages
    }
}
