//! `--metrics`: what promtool says of it, what Debian's Prometheus makes of it, what hostile clients cost.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use glassbox_tests::child::{self, Running, Status, wait_until};
use glassbox_tests::collector::Collector;
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;

/// A port of the loopback that nothing listens at.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The answer to a GET; `None` where there is none.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn watched(scene: &Scene, collector: &Collector) -> Running {
    let mut command = scene.bare_command();
    collector.preload(&mut command);
    child::start(command, b"")
}

fn play(scene: &Scene, collector: &Collector) {
    assert_eq!(Status::Exited(7), watched(scene, collector).finish().status);
}

/// A collector with metrics at a port, and a program that opened 500 files and has ended.
fn counted(scene: &Scene) -> (Collector, u16) {
    scene.clean();
    let port = free_port();
    let arguments = ["-o", &scene.events_output(), "--metrics", &port.to_string()];
    let collector = Collector::start(&scene.beside("c.sock"), &arguments);
    wait_until("the server", || get(port, "/healthz").is_some_and(|text| text.starts_with("HTTP/1.1 200 ")));
    play(scene, &collector);
    wait_until("the events", || get(port, "/metrics").unwrap().contains("{kind=\"process.exit\"} 1\n"));
    (collector, port)
}

#[test]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let scene = Scene::of("sudden_end", &["return", "500"]);
    let (collector, port) = counted(&scene);

    let page = get(port, "/metrics").unwrap();
    let text = page.split_once("\r\n\r\n").unwrap().1;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    let ending = child::run(promtool, text.as_bytes());
    let stopped = collector.stop();

    assert_eq!((Status::Exited(0), ""), (ending.status, ending.stderr.as_str()), "{text}");
    assert!(page.contains("Content-Type: text/plain; version=0.0.4"), "{page}");
    assert!(text.contains("glassbox_events_total{kind=\"file.open\"} 500\n"), "{text}");
    assert!(text.contains("glassbox_processes_total{coverage=\"hooked\",reason=\"\"} 1\n"), "{text}");
    assert!(!text.contains(scene.work().to_str().unwrap()), "a path: {text}");
    assert_eq!(Status::Exited(0), stopped.status, "{}", stopped.stderr);
}

#[test]
fn prometheus_scrapes_a_collector_and_answers_questions() {
    let scene = Scene::of("sudden_end", &["return", "500"]);
    let (collector, port) = counted(&scene);
    let configuration = scene.beside("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs: [{{job_name: glassbox, \
         static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    fs::write(&configuration, text).unwrap();
    let prometheus_port = free_port();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!("--storage.tsdb.path={}", scene.beside("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{prometheus_port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut prometheus = command.spawn().expect("Debian's prometheus is installed");
    let ask = |query: &str| get(prometheus_port, &format!("/api/v1/query?query={query}")).unwrap_or_default();

    wait_until("a scrape", || ask("glassbox_events_total%7Bkind%3D%22file.open%22%7D").contains("\"500\"]"));
    let lines = || fs::read_to_string(scene.beside("events.jsonl")).unwrap().lines().count();
    wait_until("the scrape after the last event", || {
        ask("sum(glassbox_output_written_events_total)").contains(&format!(",\"{}\"]", lines()))
    });
    let answers = [
        ask("up"),
        ask("glassbox_output_written_events_total%7Boutput%3D%22jsonl%22%7D"),
        ask("glassbox_build_info"),
    ];
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    let stopped = collector.stop();

    let written = lines();
    assert!(answers[0].contains(",\"1\"]"), "{}", answers[0]);
    assert!(answers[1].contains(&format!(",\"{written}\"]")), "{written}: {}", answers[1]);
    assert!(answers[2].contains("\"version\":\""), "{}", answers[2]);
    assert_eq!(Status::Exited(0), stopped.status, "{}", stopped.stderr);
}

#[test]
fn clients_that_are_slow_or_send_garbage_cost_others_nothing() {
    let scene = Scene::of("sudden_end", &["return", "500"]);
    let (collector, port) = counted(&scene);
    let status = || fs::read_to_string(format!("/proc/{}/status", collector.pid())).unwrap();
    let number = |name: &str| {
        let text = status();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let (threads, memory) = (number("Threads:"), number("VmRSS:"));

    let mut clients = Vec::new();
    for index in 0..300 {
        let Ok(mut client) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        let bytes: &[u8] = match index % 4 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nHost: ",
            2 => &[b'x'; 65_536],
            _ => b"POST /metrics HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n",
        };
        // It may have been closed already.
        let _ = client.write_all(bytes);
        clients.push(client);
    }
    let (most_threads, most_memory) = (number("Threads:"), number("VmRSS:"));
    let begun = Instant::now();
    play(&scene, &collector);
    wait_until("an answer", || {
        get(port, "/metrics").is_some_and(|text| text.contains("{kind=\"file.open\"} 1000\n"))
    });
    let took = begun.elapsed();
    let wrong = get(port, "/etc/passwd").unwrap_or_default();
    drop(clients);
    let stopped = collector.stop();

    assert!(most_threads <= threads + 32, "{threads} threads, then {most_threads}");
    assert!(most_memory <= memory + 16_384, "{memory} KiB, then {most_memory}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(wrong.starts_with("HTTP/1.1 404 "), "{wrong}");
    assert_eq!(Status::Exited(0), stopped.status, "{}", stopped.stderr);
}

#[test]
fn a_run_has_metrics_too_and_an_address_that_is_taken_starts_nothing() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let port = free_port();
    let options = ["-o", "jsonl:/dev/null", "--metrics", &format!("127.0.0.1:{port}")];

    let running = child::start(scene.run_command(&options), b"");
    wait_until("opens", || get(port, "/metrics").is_some_and(|text| text.contains("{kind=\"file.open\"}")));
    let mut second = Command::new(glassbox());
    second.arg("run").args(options).args(["--", "touch", "started"]).current_dir(scene.work());
    let second = child::run(second, b"");
    fs::write(scene.work().join("stop"), "").unwrap();
    running.finish().assert_output(0, "failed 0\n");

    assert_eq!(Status::Exited(73), second.status, "{}", second.stderr);
    assert!(second.stderr.contains("cannot listen at 127.0.0.1:"), "{}", second.stderr);
    assert!(!scene.work().join("started").exists());
}
