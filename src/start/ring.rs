//! The ring of an image: a sealed memfd, mapped, and the page of its process.

use core::ffi::c_int;
use core::ptr::NonNull;

use wire::hello::Blind;
use wire::ring::layout::{self, Mapped};

use crate::start::environ::Wishes;
use crate::sys;

/// A ring that is mapped, and the file behind it.
#[derive(Clone, Copy)]
pub struct Made {
    pub ring: Mapped,
    pub data_len: u64,
    pub page: NonNull<u8>,
    pub memfd: c_int,
}

/// Makes a ring of the size that the environment asks for.
pub fn make_ring(wishes: &Wishes) -> Result<Made, Blind> {
    let data_len = wishes.ring_kib.map_or(layout::DEFAULT_DATA_LEN, |kib| {
        (kib.saturating_mul(1024).clamp(layout::MIN_DATA_LEN, layout::MAX_DATA_LEN) + 1).next_power_of_two()
            / 2
    });
    let len = layout::file_len(data_len);
    // ftruncate(2) beyond the limit does not only fail, it raises SIGXFSZ.
    if sys::soft_limit(libc::RLIMIT_FSIZE) < len {
        return Err(Blind::NoMemory);
    }
    let memfd = sys::sealed_memfd(c"glassbox", len).map_err(|error| match error.0 {
        libc::EMFILE | libc::ENFILE => Blind::FdLimit,
        _ => Blind::NoMemory,
    })?;
    let mapped = sys::map_shared(memfd, len as usize).ok().and_then(NonNull::new);
    let page = sys::map_anonymous(4096).ok().and_then(NonNull::new);
    let (Some(base), Some(page)) = (mapped, page) else {
        sys::close(memfd);
        return Err(Blind::AddressSpace);
    };
    // Neither is needed: an old kernel without WIPEONFORK relies on the fork hook.
    let _ = sys::advise(page.as_ptr(), 4096, libc::MADV_WIPEONFORK);
    let _ = sys::advise(base.as_ptr(), len as usize, libc::MADV_DONTDUMP);
    // SAFETY: just mapped with this length, sealed against shrinking, never unmapped while armed; `data_len`
    // is a power of two by its clamping.
    let ring = unsafe { Mapped::new(base, data_len) };
    ring.format();
    Ok(Made { ring, data_len, page, memfd })
}
