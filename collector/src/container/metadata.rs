//! Asks the metadata endpoint of an ECS task for the names of a container.
//!
//! Each container has a thread of its own, so that a slow answer for one does not cost another one its names.
//! The thread ends in any case, with an answer or without.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::address::Address;
use super::facts::{Container, FACTS};

/// How long one request takes, at most.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before each further request after one that failed. The endpoint may come up later than the
/// containers.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// Bytes of an answer, at most; real ones have less than two thousand.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Asks for the container at `address` and calls `answered` once, with `None` if no usable answer came. False
/// if no thread can be started; `answered` is not called then.
pub fn ask(address: Address, answered: impl FnOnce(Option<Container>) + Send + 'static) -> bool {
    let work = move || {
        let mut answer = request(&address);
        for pause in PAUSES {
            if answer.is_some() {
                break;
            }
            thread::sleep(pause);
            answer = request(&address);
        }
        answered(answer);
    };
    thread::Builder::new().name("metadata".to_owned()).spawn(work).is_ok()
}

fn request(address: &Address) -> Option<Container> {
    // No redirection, so that only the checked URI is requested. No proxy: the address is the task's own.
    let config =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).proxy(None).build();
    let mut response = ureq::Agent::new_with_config(config).get(address.uri()).call().ok()?;
    if response.status() != 200 {
        return None;
    }
    let bytes = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec().ok()?;
    container(&bytes, address.id())
}

/// The facts of a container in an answer; `id` is used where the answer has none. serde_json bounds the
/// nesting.
fn container(answer: &[u8], id: &str) -> Option<Container> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    if !answer.is_object() {
        return None;
    }
    let mut container = Container::with_id(id);
    for (place, (_, pointer)) in FACTS.iter().enumerate() {
        if let Some(text) = answer.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            container.set(place, text);
        }
    }
    Some(container)
}

/// The answer of a metadata endpoint.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let _ = container(bytes, "");
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    use super::super::Authority;
    use super::*;

    /// As AWS documents it for a container of a Fargate task.
    const REAL: &str = r#"{
        "DockerId": "cd189a933e5849daa93386466019ab50-2495160603",
        "Name": "curl",
        "DockerName": "curl",
        "Image": "111122223333.dkr.ecr.us-west-2.amazonaws.com/curltest:latest",
        "ImageID": "sha256:25f3695bedfb454a50f12d127839a68ad3caf91e451c1da073db34c542c4d2cb",
        "Labels": {
            "com.amazonaws.ecs.cluster": "arn:aws:ecs:us-west-2:111122223333:cluster/default",
            "com.amazonaws.ecs.container-name": "curl",
            "com.amazonaws.ecs.task-arn": "arn:aws:ecs:us-west-2:111122223333:task/default/cd189a933e5849daa93386466019ab50",
            "com.amazonaws.ecs.task-definition-family": "curltest",
            "com.amazonaws.ecs.task-definition-version": "2"
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 10, "Memory": 128},
        "CreatedAt": "2020-10-08T20:09:11.44527186Z",
        "StartedAt": "2020-10-08T20:09:11.44527186Z",
        "Type": "NORMAL",
        "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["192.0.2.3"], "AttachmentIndex": 0}],
        "ContainerARN": "arn:aws:ecs:us-west-2:111122223333:container/05966557-f16c-49cb-9352-24b3a0dcd0e1",
        "LogOptions": {"awslogs-group": "/ecs/containerlogs"},
        "LogDriver": "awslogs"
    }"#;

    /// The address of an endpoint that writes `answer`, and then keeps the connection until the other side
    /// ends it.
    fn endpoint(answer: Vec<u8>) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(&answer);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        Authority::parse(authority.as_ref())
            .unwrap()
            .address(format!("http://{authority}/v4/id").as_bytes())
            .unwrap()
    }

    fn reply(status: &str, headers: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn real_answer_gives_every_fact() {
        let container = request(&endpoint(reply("200 OK", "", REAL))).unwrap();

        assert_eq!(
            vec![
                ("id", "cd189a933e5849daa93386466019ab50-2495160603"),
                ("name", "curl"),
                ("image", "111122223333.dkr.ecr.us-west-2.amazonaws.com/curltest:latest"),
                ("image_id", "sha256:25f3695bedfb454a50f12d127839a68ad3caf91e451c1da073db34c542c4d2cb"),
                ("arn", "arn:aws:ecs:us-west-2:111122223333:container/05966557-f16c-49cb-9352-24b3a0dcd0e1"),
                ("task", "arn:aws:ecs:us-west-2:111122223333:task/default/cd189a933e5849daa93386466019ab50"),
                ("family", "curltest"),
                ("revision", "2"),
                ("cluster", "arn:aws:ecs:us-west-2:111122223333:cluster/default"),
            ],
            container.which().chain(container.what()).collect::<Vec<_>>()
        );
        assert_eq!("curl", container.short_name());
    }

    #[test]
    fn what_is_no_answer_costs_the_names_and_no_time() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let long = format!("{{\"Name\":\"{}\"}}", "x".repeat(1 << 20));
        for answer in [
            reply("404 Not Found", "", REAL),
            reply("302 Found", "Location: http://127.0.0.1:1/v4/x\r\n", ""),
            reply("200 OK", "", "<html>"),
            reply("200 OK", "", "[]"),
            reply("200 OK", "", &deep[..60_000]),
            reply("200 OK", "", &long),
            b"rubbish\r\n\r\n".to_vec(),
            reply("200 OK", "Content-Encoding: gzip\r\n", "\x1f"),
        ] {
            let text = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
            let begun = Instant::now();

            assert_eq!(None, request(&endpoint(answer)), "{text}");
            assert!(begun.elapsed() < TIMEOUT + Duration::from_secs(1), "{text}");
        }
    }

    #[test]
    fn endpoint_that_says_nothing_is_given_up() {
        let begun = Instant::now();

        assert_eq!(None, request(&endpoint(Vec::new())));
        assert!(begun.elapsed() < 2 * TIMEOUT);
    }

    #[test]
    fn facts_of_the_wrong_type_or_length_are_left_out() {
        let odd = format!(
            r#"{{"DockerId":7,"Name":null,"Image":["x"],"ImageID":"{}","ContainerARN":"","Labels":"no"}}"#,
            "x".repeat(513)
        );

        let container = container(odd.as_bytes(), "of-the-uri").unwrap();

        assert_eq!(vec![("id", "of-the-uri")], container.which().chain(container.what()).collect::<Vec<_>>());
    }
}
