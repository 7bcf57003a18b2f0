//! Sockets and names: peers, addresses and bytes, each reported once.

use glassbox_tests::events::{Event, Events};
use glassbox_tests::scene::{Outcome, sensed, sensed_on_musl, unnoticed};

/// The port that the victim noted under `name`.
fn port(outcome: &Outcome, name: &str) -> String {
    let ports = outcome.file("ports");
    let line = ports.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no port of {name} in {ports}")).to_owned()
}

fn connects<'a>(events: &'a Events, remote: &str) -> Vec<&'a Event> {
    events.named("net.connect").filter(|connect| connect.text("remote") == Some(remote)).collect()
}

#[test]
fn connects_that_are_under_way_give_their_bare_results() {
    unnoticed("pending");
}

#[test]
fn a_connect_tells_its_peer_and_whether_it_is_pending() {
    let outcome = sensed("sockets", &[]);
    let remote = format!("127.0.0.1:{}", port(&outcome, "v4"));

    let connects = connects(&outcome.events, &remote);

    assert_eq!(2, connects.len(), "{}", outcome.events.outline());
    assert_ne!(Some(&true.into()), connects[0].field("pending"));
    assert_eq!(Some(&true.into()), connects[1].field("pending"));
}

#[test]
fn a_pending_connect_has_not_failed() {
    let outcome = sensed("sockets", &[]);
    let remote = format!("127.0.0.1:{}", port(&outcome, "v4"));

    let pending = connects(&outcome.events, &remote)[1];

    assert!(!pending.has_failed() || pending.text("error") == Some("EINPROGRESS"), "{pending:?}");
}

#[test]
fn outcome_of_a_pending_connect_is_told_once_by_the_call_that_shows_it() {
    for libc in [sensed as fn(&str, &[&str]) -> _, sensed_on_musl] {
        let outcome = libc("pending", &[]);

        let line = |event: &Event| format!("{} {}", event.call(), event.text("error").unwrap_or("-"));
        let told: Vec<String> = outcome.events.named("net.connected").map(line).collect();
        let expected = [
            "getsockopt ECONNREFUSED",
            "getsockopt -",
            "poll -",
            "select -",
            "epoll_wait -",
            "write -",
            "read ECONNREFUSED",
            "send ECONNREFUSED",
            "connect -",
            "close -",
            "close ECONNREFUSED",
        ];
        assert_eq!(expected.as_slice(), told, "{}", outcome.events.outline());
    }
}

#[test]
fn outcome_of_a_pending_connect_has_both_ends_and_the_time_that_it_took() {
    let outcome = sensed("pending", &[]);
    let (open, closed) = (port(&outcome, "open"), port(&outcome, "closed"));

    for connected in outcome.events.named("net.connected") {
        let to = if connected.has_failed() { &closed } else { &open };
        assert_eq!(Some(format!("127.0.0.1:{to}").as_str()), connected.text("remote"), "{connected:?}");
        assert!(connected.text("local").unwrap().starts_with("127.0.0.1:"), "{connected:?}");
        assert_ne!(Some("127.0.0.1:0"), connected.text("local"));
        assert_eq!(Some("SOCK_STREAM"), connected.text("type"));
        let took_ns = connected.number("duration_ns").unwrap();
        let is_late = ["poll", "select", "epoll_wait", "read"].contains(&connected.call());
        assert!((1_000..5_000_000_000).contains(&took_ns), "{connected:?}");
        assert!(is_late || took_ns >= 20_000_000, "it was slept for 20 ms: {connected:?}");
    }
}

#[test]
fn end_of_an_outgoing_socket_tells_both_ends_and_the_name_of_its_peer() {
    let named = sensed("names", &[]).events;
    let outcome = sensed("sockets", &[]);
    let remote = format!("127.0.0.1:{}", port(&outcome, "v4"));

    let close = named.only("close of a socket with a peer", |event| {
        event.name() == "net.close" && event.text("remote").is_some()
    });
    assert_eq!(Some("localhost"), close.text("host"));
    for event in ["net.connect", "net.close"] {
        let of_peer = |found: &&Event| found.text("remote") == Some(&remote);
        for found in outcome.events.named(event).filter(of_peer) {
            let local = found.text("local").unwrap_or("");
            assert!(local.starts_with("127.0.0.1:") && !local.ends_with(":0"), "{found:?}");
        }
    }
}

#[test]
fn an_ipv6_peer_is_written_in_brackets() {
    let outcome = sensed("sockets", &[]);
    if outcome.ending.stdout.contains("no IPv6 here") {
        return; // the victim says so; there is nothing to connect to
    }
    let remote = format!("[::1]:{}", port(&outcome, "v6"));

    assert_eq!(1, connects(&outcome.events, &remote).len(), "{}", outcome.events.outline());
}

#[test]
fn a_unix_peer_is_its_path() {
    let events = sensed("sockets", &[]).events;

    let connect = events.only("connect to a path", |event| {
        event.name() == "net.connect"
            && event.text("remote").is_some_and(|remote| remote.ends_with("local-socket"))
    });
    assert_eq!(
        Some("unix"),
        connect
            .text("family")
            .map(|family| family.trim_start_matches("AF_"))
            .map(|family| if family == "UNIX" { "unix" } else { family })
    );
}

#[test]
fn sockets_binds_listens_and_accepts_are_reported() {
    let outcome = sensed("sockets", &[]);

    let count = |name: &str| outcome.events.named(name).filter(|event| !event.has_failed()).count();
    let said = |what: &str| outcome.ending.stdout.lines().filter(|line| line.starts_with(what)).count();
    assert!(count("net.accept") >= said("accept(") + said("accept4("), "{}", outcome.events.outline());
    assert!(count("net.bind") >= said("bind("), "{}", outcome.events.outline());
    assert!(count("net.listen") >= said("listen("), "{}", outcome.events.outline());
    assert!(count("net.socket") >= said("socket("), "{}", outcome.events.outline());
}

#[test]
fn an_accept_tells_both_ends() {
    let outcome = sensed("sockets", &[]);
    let local = format!("127.0.0.1:{}", port(&outcome, "v4"));

    let accepts: Vec<_> =
        outcome.events.named("net.accept").filter(|accept| accept.text("local") == Some(&local)).collect();

    assert_eq!(2, accepts.len(), "{}", outcome.events.outline());
    // accept4 got no buffer for an address: the peer must be known even so, or be absent, but never wrong.
    let remote = accepts[0].text("remote").unwrap_or("");
    assert!(remote.starts_with("127.0.0.1:"), "{:?}", accepts[0]);
}

#[test]
fn a_sockets_end_counts_both_directions() {
    let outcome = sensed("sockets", &[]);
    let remote = format!("127.0.0.1:{}", port(&outcome, "v4"));

    let close =
        outcome.events.named("net.close").find(|close| close.text("remote") == Some(&remote)).unwrap();

    assert_eq!([Some(10), Some(3)], ["bytes_sent", "bytes_received"].map(|field| close.number(field)));
}

#[test]
fn datagrams_report_each_new_peer_once() {
    let outcome = sensed("sockets", &[]);

    for (name, sent) in [("udp", ("sendto", 8)), ("udp-second", ("sendmsg", 7))] {
        let remote = format!("127.0.0.1:{}", port(&outcome, name));
        let told: Vec<_> = connects(&outcome.events, &remote)
            .iter()
            .map(|connect| (connect.call(), connect.number("ret").expect("it returned")))
            .collect();
        assert_eq!(vec![sent], told, "{name}\n{}", outcome.events.outline());
    }
}

#[test]
fn bytes_of_a_socket_that_sent_to_several_peers_name_all_of_them_and_no_single_one() {
    let outcome = sensed("sockets", &[]);
    let remotes = ["udp", "udp-second"].map(|name| format!("127.0.0.1:{}", port(&outcome, name)));

    let close = outcome
        .events
        .only("close of the sender", |event| event.name() == "net.close" && event.number("peers").is_some());

    assert_eq!(remotes.as_slice(), close.list("remotes").as_slice());
    assert_eq!((Some(2), None), (close.number("peers"), close.text("remote")));
    assert!(close.number("bytes_sent") > Some(0), "{close:?}");
}

#[test]
fn peeked_bytes_are_not_counted_twice() {
    let events = sensed("counters", &[]).events;

    let received: i64 = events.named("net.close").filter_map(|close| close.number("bytes_received")).sum();
    let sent: i64 = events.named("net.close").filter_map(|close| close.number("bytes_sent")).sum();
    // 300 + 20 + 30 + 60, each sent once and received once.
    assert_eq!((410, 410), (sent, received));
}

#[test]
fn a_refused_connect_tells_why() {
    let events = sensed("errno_kept", &[]).events;

    let refused =
        events.named("net.connect").filter(|connect| connect.text("error") == Some("ECONNREFUSED")).count();
    assert_eq!(1, refused, "{}", events.outline());
}

#[test]
fn a_looked_up_name_tells_its_answers() {
    let events = sensed("names", &[]).events;

    let queries: Vec<_> = events
        .named("dns.query")
        .filter(|query| query.text("host") == Some("localhost") && !query.has_failed())
        .collect();
    assert!(queries.len() >= 5, "{}", events.outline());
    assert!(queries[0].list("answers").contains(&"127.0.0.1"), "{:?}", queries[0]);
}

#[test]
fn a_connect_names_the_host_that_its_address_was_found_by() {
    let events = sensed("names", &[]).events;

    let connect = events.only("the connect", |event| event.name() == "net.connect");
    assert_eq!(Some("localhost"), connect.text("host"));
}

#[test]
fn a_name_asked_for_by_message_is_told_once_each() {
    let seen = sensed("resolver", &[]).events;

    for call in ["sendto", "send", "sendmsg", "sendmmsg"] {
        let asked: Vec<_> = seen.named("dns.query").filter(|query| query.call() == call).collect();
        assert_eq!(1, asked.len(), "{call}\n{}", seen.outline());
        assert_eq!(Some(format!("{call}.example").as_str()), asked[0].text("host"));
    }
}

#[test]
fn a_name_asked_of_the_resolver_tells_its_answers() {
    let seen = sensed("resolver", &[]).events;

    for (call, host) in [
        ("res_query", "query.example"),
        ("res_search", "search.example."),
        ("res_querydomain", "querydomain"),
        ("res_nquery", "nquery.example"),
        ("res_send", "exchanged.example"),
    ] {
        let query = seen.only(call, |event| event.name() == "dns.query" && event.call() == call);
        assert_eq!(Some(host), query.text("host"));
        assert_eq!(vec!["192.0.2.7"], query.list("answers"), "{call}");
    }
    let later = seen.only("getaddrinfo_a", |event| event.call() == "getaddrinfo_a");
    assert_eq!(Some("127.0.0.1"), later.text("host"));
}
