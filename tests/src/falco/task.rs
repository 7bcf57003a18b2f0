//! The metadata endpoint of an ECS task, on loopback: it says of which image a container is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// An endpoint; its thread ends with the test's process.
pub struct Task {
    address: SocketAddr,
}

/// On Fargate: 32 hexadecimal digits, and a number of ten.
const ID: &str = "158d1c8083dd49d6b527399fd6414f5c-0000000007";

impl Task {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        thread::spawn(move || listener.incoming().flatten().for_each(answer));
        Self { address }
    }

    /// The variables of a container of the task, and of the collector in it.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("ECS_CONTAINER_METADATA_URI_V4", format!("http://{}/v4/{ID}", self.address)),
            ("GLASSBOX_ECS_METADATA", self.address.to_string()),
        ]
    }
}

fn answer(mut stream: TcpStream) {
    drop(stream.set_read_timeout(Some(Duration::from_secs(5))));
    let mut request = [0; 2048];
    drop(stream.read(&mut request));
    let body = format!(
        "{{\"DockerId\": \"{ID}\", \"Name\": \"web\", \"Image\": \"registry.example/shop/web:1\", \
         \"ImageID\": \"sha256:25f3695bedfb454a50f12d127839a68ad3caf91e451c1da073db34c542c4d2cb\"}}"
    );
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    drop(stream.write_all(format!("{head}{body}").as_bytes()));
}
