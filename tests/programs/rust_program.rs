//! A default Rust program: opens, makes, renames, connects, executes. Its calls into libc go through the GOT
//! alone, which those who patch PLT slots never see.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, exit};

fn main() -> std::io::Result<()> {
    fs::write("a", "text")?;
    fs::read_to_string("a")?;
    fs::File::options().append(true).open("a")?.write_all(b"more")?;
    fs::create_dir_all("d/e")?;
    fs::copy("a", "d/copy")?;
    fs::rename("d/copy", "d/renamed")?;
    fs::hard_link("a", "hard")?;
    std::os::unix::fs::symlink("a", "link")?;
    fs::File::open("a")?.set_len(0).unwrap_err();
    fs::remove_file("hard")?;
    fs::read_dir(".")?.for_each(drop);
    fs::remove_dir_all("d")?;
    fs::read("missing").unwrap_err();

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    listener.accept()?.0.write_all(b"hello")?;
    client.read(&mut [0; 16])?;
    TcpStream::connect("127.0.0.1:1").unwrap_err();
    UdpSocket::bind("127.0.0.1:0")?.connect(listener.local_addr()?)?;
    UnixStream::connect("missing.sock").unwrap_err();

    let threads: Vec<_> =
        (0..4).map(|n| std::thread::spawn(move || fs::write(format!("thread{n}"), "x"))).collect();
    for thread in threads {
        thread.join().unwrap()?;
    }
    Command::new("true").status()?;
    Command::new("sh").args(["-c", "echo x > by-shell"]).env_clear().status()?;
    Command::new("no-such-program").status().unwrap_err();
    exit(0)
}
