//! The peers that one socket sent datagrams to: the sensor counts bytes for the socket, not for each of them.

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peers {
    /// The first of them, each ended by a NUL.
    list: Box<[u8]>,
    count: u64,
}

impl Peers {
    /// Bytes of addresses that are kept.
    pub const MOST_BYTES: usize = 256;

    /// Notes a peer. One that is not kept counts each time.
    pub fn note(&mut self, remote: &[u8]) {
        if self.iter().any(|known| *known == *remote) {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.list.len() + remote.len() < Self::MOST_BYTES && !remote.contains(&0) {
            self.list = [&*self.list, remote, &[0]].concat().into();
        }
    }

    /// How many there are, and the first of them, each ended by a NUL; `None` of one or none.
    pub fn if_many(&self) -> Option<(u64, &[u8])> {
        (self.count > 1).then_some((self.count, &*self.list))
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.list.strip_suffix(&[0]).into_iter().flat_map(|list| list.split(|byte| *byte == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_apart_as_far_as_they_are_kept() {
        let mut peers = Peers::default();
        peers.note(b"127.0.0.1:1");
        let one = peers.if_many().is_some();
        peers.note(b"127.0.0.1:2");
        peers.note(b"127.0.0.1:1");
        let two = peers.if_many().map(|(count, list)| (count, list.to_vec()));
        for port in 0..100 {
            peers.note(format!("127.0.0.1:{port}").as_bytes());
        }

        assert!(!one);
        assert_eq!(Some((2, b"127.0.0.1:1\x00127.0.0.1:2\0".to_vec())), two);
        assert_eq!(Some(100), peers.if_many().map(|(count, _)| count));
        assert!(peers.list.len() <= Peers::MOST_BYTES);
    }
}
