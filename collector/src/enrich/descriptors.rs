//! The descriptors of a process, as far as its calls and `/proc` tell.
//!
//! One table for each process; a fork child shares its parent's until either of them changes it. `owner` is
//! the image that opened a descriptor, so an image knows its own descriptors from inherited ones without
//! touching a copy.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use wire::events::Counters;

use super::peers::Peers;
use crate::allowance::{Account, Resource, Share};
use crate::ids::{ImageId, MonoNs};

/// The thing behind a descriptor.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A file, directory, pipe or anything else that has a path or a label.
    File(Arc<[u8]>),
    /// A socket.
    Socket(Arc<Socket>),
}

/// A socket, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Socket {
    /// Address family; `None` where the socket was inherited from outside.
    pub family: Option<i32>,
    /// Type without flags.
    pub kind: Option<i32>,
    /// Protocol.
    pub protocol: Option<i32>,
    /// Its number, where the kernel was asked for it.
    pub inode: Option<u64>,
    /// The address it was bound to, as text.
    pub local: Option<Box<[u8]>>,
    /// The peer, as text.
    pub remote: Option<Box<[u8]>>,
    /// The name that was resolved to the peer's address when it was connected.
    pub host: Option<Arc<[u8]>>,
    /// Whether the peer connected to this process; `None` where there is no peer, or it is not seen which of
    /// the two did.
    pub is_accepted: Option<bool>,
    /// When the connect that is under way was asked for.
    pub asked: Option<MonoNs>,
    /// The peers of datagrams, `remote` among them; none of a socket that is no datagram's.
    pub peers: Peers,
}

/// The arguments of a socket(2) whose result is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedSocket {
    /// Address family.
    pub family: i32,
    /// Type without flags.
    pub kind: i32,
    /// Protocol.
    pub protocol: i32,
}

/// One open descriptor.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// The thing behind it.
    pub target: Target,
    /// The image that opened it; another one than the process's own if it was inherited by fork.
    pub owner: ImageId,
    /// When it was opened; [`MonoNs::ZERO`] where that is unknown.
    pub opened: MonoNs,
    /// Whether it closes at exec.
    pub is_cloexec: bool,
    /// Whether its file has no name (`O_TMPFILE`): its path is that of the directory.
    pub is_nameless: bool,
    /// The counts of earlier images of the same process.
    pub carried: Option<Box<Counters>>,
}

impl Descriptor {
    /// A descriptor that image `owner` opened.
    pub fn new(target: Target, owner: ImageId, opened: MonoNs, is_cloexec: bool) -> Self {
        Self { target, owner, opened, is_cloexec, is_nameless: false, carried: None }
    }
}

/// Descriptors below this lie in a vector.
const DENSE: usize = 1024;
/// As many as a process may have by default of any system (`fs.nr_open`); a hostile one claims more.
const MOST: usize = 1 << 20;

/// The descriptors of a process. Their memory comes out of an account; one that finds no room there is not
/// kept, so that its close has no path.
#[derive(Debug, Default)]
pub struct Descriptors {
    dense: Vec<Option<Descriptor>>,
    sparse: FxHashMap<i32, Descriptor>,
    /// The bytes of all of it.
    share: Share,
}

/// The memory that a descriptor takes beside its target.
const ENTRY_BYTES: usize = size_of::<Option<Descriptor>>();

impl Descriptor {
    /// The memory that it takes, where nothing is shared.
    pub fn size_bytes(&self) -> usize {
        // A socket's addresses and its peer's name come later, and are no longer than this.
        const SOCKET_BYTES: usize = size_of::<Socket>() + 3 * 128 + Peers::MOST_BYTES;
        let target = match &self.target {
            Target::File(path) => path.len(),
            Target::Socket(_) => SOCKET_BYTES,
        };
        ENTRY_BYTES + size_of::<Counters>() + target
    }
}

impl Clone for Descriptors {
    /// The same for another process; nothing where the account has no room for them.
    fn clone(&self) -> Self {
        self.in_account(self.share.account())
    }
}

impl Descriptors {
    /// None, whose memory will come out of `account`.
    pub fn of(account: &Arc<Account>) -> Self {
        Self { share: account.share(Resource::Bytes), ..Self::default() }
    }

    /// The account.
    pub fn account(&self) -> &Arc<Account> {
        self.share.account()
    }

    /// A copy whose memory comes out of `account`; an empty one where that has no room.
    pub fn in_account(&self, account: &Arc<Account>) -> Self {
        let mut copy = Self::of(account);
        if copy.share.grow(self.share.held()) {
            (copy.dense, copy.sparse) = (self.dense.clone(), self.sparse.clone());
        }
        copy
    }

    /// The descriptor `fd`.
    #[inline]
    pub fn get(&self, fd: i32) -> Option<&Descriptor> {
        match usize::try_from(fd) {
            Ok(index) if index < DENSE => self.dense.get(index)?.as_ref(),
            Ok(_) => self.sparse.get(&fd),
            Err(_) => None,
        }
    }

    /// The descriptor `fd`, to change it.
    #[inline]
    pub fn get_mut(&mut self, fd: i32) -> Option<&mut Descriptor> {
        match usize::try_from(fd) {
            Ok(index) if index < DENSE => self.dense.get_mut(index)?.as_mut(),
            Ok(_) => self.sparse.get_mut(&fd),
            Err(_) => None,
        }
    }

    /// Puts `descriptor` at `fd`; gives what was there.
    #[inline]
    pub fn insert(&mut self, fd: i32, descriptor: Descriptor) -> Option<Descriptor> {
        let before = self.remove(fd);
        match usize::try_from(fd) {
            Ok(index) if index < DENSE => {
                let missing = (index + 1).saturating_sub(self.dense.len());
                if self.share.grow(descriptor.size_bytes() + missing * ENTRY_BYTES) {
                    if missing > 0 {
                        self.dense.resize(index + 1, None);
                    }
                    self.dense[index] = Some(descriptor);
                }
            }
            Ok(_) if self.sparse.len() < MOST && self.share.grow(descriptor.size_bytes()) => {
                self.sparse.insert(fd, descriptor);
            }
            Ok(_) | Err(_) => {}
        }
        before
    }

    /// Takes the descriptor `fd` out.
    #[inline]
    pub fn remove(&mut self, fd: i32) -> Option<Descriptor> {
        let removed = match usize::try_from(fd) {
            Ok(index) if index < DENSE => self.dense.get_mut(index)?.take(),
            Ok(_) => self.sparse.remove(&fd),
            Err(_) => None,
        };
        self.share.shrink(removed.as_ref().map_or(0, Descriptor::size_bytes));
        removed
    }

    /// Every descriptor, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Descriptor)> {
        let mut sparse: Vec<(i32, &Descriptor)> = self.sparse.iter().map(|(fd, one)| (*fd, one)).collect();
        sparse.sort_unstable_by_key(|(fd, _)| *fd);
        self.dense().chain(sparse)
    }

    /// Every descriptor, in any order.
    pub fn unordered(&self) -> impl Iterator<Item = (i32, &Descriptor)> {
        self.dense().chain(self.sparse.iter().map(|(fd, one)| (*fd, one)))
    }

    fn dense(&self) -> impl Iterator<Item = (i32, &Descriptor)> {
        self.dense.iter().enumerate().filter_map(|(fd, slot)| Some((fd as i32, slot.as_ref()?)))
    }

    /// Calls `each` with every descriptor from `first` to `last`.
    pub fn in_range(&mut self, first: u32, last: u32, mut each: impl FnMut(&mut Option<Descriptor>)) {
        let (first, last) = (first as usize, last as usize);
        let end = self.dense.len().min(last.saturating_add(1));
        let mut gone = 0;
        for slot in self.dense.get_mut(first.min(end)..end).unwrap_or_default() {
            if let Some(descriptor) = slot {
                let size = descriptor.size_bytes();
                each(slot);
                gone += if slot.is_none() { size } else { 0 };
            }
        }
        if last >= DENSE && !self.sparse.is_empty() {
            self.sparse.retain(|fd, descriptor| {
                let is_within = usize::try_from(*fd).is_ok_and(|fd| (first..=last).contains(&fd));
                if !is_within {
                    return true;
                }
                let mut slot = Some(descriptor.clone());
                each(&mut slot);
                let stays = slot.is_some();
                gone += if stays { 0 } else { descriptor.size_bytes() };
                if let Some(changed) = slot {
                    *descriptor = changed;
                }
                stays
            });
        }
        self.share.shrink(gone);
    }
}

/// The sum of two counts.
pub fn sum(one: Counters, other: Counters) -> Counters {
    Counters {
        bytes_in: one.bytes_in.saturating_add(other.bytes_in),
        bytes_out: one.bytes_out.saturating_add(other.bytes_out),
        calls_in: one.calls_in.saturating_add(other.calls_in),
        calls_out: one.calls_out.saturating_add(other.calls_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Descriptor {
        Descriptor::new(Target::File(path.as_bytes().into()), ImageId::NONE, MonoNs::ZERO, false)
    }

    fn numbers(descriptors: &Descriptors) -> Vec<i32> {
        descriptors.iter().map(|(fd, _)| fd).collect()
    }

    #[test]
    fn descriptors_of_any_number_are_kept_in_order() {
        let mut descriptors = Descriptors::default();

        for fd in [3000, 0, 1023, 1024, i32::MAX, -1, i32::MIN] {
            descriptors.insert(fd, file("/x"));
        }

        assert_eq!(vec![0, 1023, 1024, 3000, i32::MAX], numbers(&descriptors));
        assert!(descriptors.remove(3000).is_some());
        assert!(descriptors.get(3000).is_none());
        assert!(descriptors.get(-1).is_none());
    }

    #[test]
    fn range_reaches_low_and_high_ones_alike() {
        let mut descriptors = Descriptors::default();
        for fd in [0, 1, 2, 3, 1500, 2000] {
            descriptors.insert(fd, file("/x"));
        }

        descriptors.in_range(3, u32::MAX, |slot| *slot = None);
        assert_eq!(vec![0, 1, 2], numbers(&descriptors));

        descriptors.in_range(1, 1, |slot| slot.as_mut().unwrap().is_cloexec = true);
        assert!(descriptors.get(1).unwrap().is_cloexec);
        assert!(!descriptors.get(2).unwrap().is_cloexec);

        descriptors.in_range(9, 3, |_| panic!("empty range"));
    }

    #[test]
    fn copy_is_not_changed_with_its_original() {
        let mut parent = Arc::new(Descriptors::default());
        Arc::make_mut(&mut parent).insert(3, file("/a"));

        let mut child = Arc::clone(&parent);
        Arc::make_mut(&mut child).remove(3);

        assert!(parent.get(3).is_some());
        assert!(child.get(3).is_none());
    }
}
