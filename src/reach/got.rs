//! Callers that symbol interposition does not reach: the words that they are bound through are changed to
//! lead here.
//!
//! A library that is loaded with `RTLD_DEEPBIND` looks into its own dependencies before it looks at a
//! preloaded library; a library behind us that asks for the next definition is given libc's; and when the
//! sensor joins a process that runs already, all its callers are bound. Two things are changed for them, both
//! in data, never in code:
//!
//! * **Definitions**: the entry in libc's symbol table says where the function is. Pointed to us, it serves
//!   every caller that is bound from then on, by relocation, lazily, or by dlsym(3) in each of its forms; the
//!   loader does the search, with caller, scope and version as usual. So a library's constructor, which runs
//!   before dlopen returns, is bound to us too. It is changed when it is first needed ([`redirect_all`],
//!   [`answer`]), since each page of it is then the process's own; a program that never does such a thing
//!   pays nothing.
//! * **Slots**: words of a loaded image that hold a function's address already ([`patch_slots`]).
//!
//! A word is changed only where it holds the very definition that our wrapper calls: another version of a
//! symbol, and a program's own function of the same name, are not wrapped. Callers reach a twin of the
//! exported wrapper in this way, and its records say so (`via`).
//!
//! # Safety
//! Symbol tables and relocations come from the loader's description of mapped images, as in [`super::elf`].
//! Words are written whole, and the old and the new value are functions of the same type, so a thread that
//! reads a word meanwhile gets a usable one.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::process::{self, Seal};
use crate::reach::elf::{Image, Layout, LinkMap};
use crate::reach::maps::{OWN_MAP, is_late};
use crate::reach::real::{Hook, Real, hooks};
use crate::sys;

/// An exported symbol: the wrapper's address, and its hook. The sensor's own symbol table has a filter that
/// answers for most names.
fn find(name: &CStr) -> Option<(usize, &'static Hook)> {
    let own = OWN_MAP.load(Ordering::Acquire) as *const LinkMap;
    // SAFETY: our own entry, or null.
    let wrapper = unsafe { Image::of(own) }?.symbol(name)?;
    hooks().iter().find(|hook| hook.name() == name).map(|hook| (wrapper, hook))
}

/// dlsym(3) and dlvsym(3) before they are made: `None` where the real one is to answer its true caller, else
/// its answer.
///
/// With a handle the result does not depend on the caller: a wrapped function found there is exchanged for
/// the wrapper that the program itself would call, so that a function has one address for every way to find
/// it; also without a collector. With `RTLD_DEFAULT` the loader finds us by itself. With `RTLD_NEXT` a caller
/// that stands before us in the list finds us anyway; for one behind us the definition is pointed to us.
///
/// # Safety
/// `name` is the call's; `real` makes it.
pub unsafe fn answer(
    handle: *mut c_void,
    name: *const c_char,
    real: impl FnOnce() -> *mut c_void,
) -> Option<*mut c_void> {
    if sys::is_wild(name) {
        return None;
    }
    // SAFETY: the caller's promise.
    let (wrapper, hook) = find(unsafe { CStr::from_ptr(name) })?;
    if handle == libc::RTLD_DEFAULT {
        return None;
    }
    if handle == libc::RTLD_NEXT {
        if may_change() {
            redirect(core::slice::from_ref(hook));
        }
        return None;
    }
    let found = real();
    let is_ours = !found.is_null() && (hook.real() == Some(found as usize) || hook.twin() == found as usize);
    let ours = if is_late() { hook.twin() } else { wrapper };
    Some(if is_ours { ours as *mut c_void } else { found })
}

/// A library is about to be loaded with these flags: one that will look into its own dependencies first finds
/// us there.
pub fn before_load(flags: c_int) {
    if flags & DEEPBIND != 0 && may_change() && !IS_REDIRECTED.load(Ordering::Relaxed) {
        redirect_all();
    }
}

/// `RTLD_DEEPBIND`, glibc's <dlfcn.h>; no flag of musl.
const DEEPBIND: c_int = 8;

/// Every definition was pointed to us.
static IS_REDIRECTED: AtomicBool = AtomicBool::new(false);

/// Whether this process may be asked to make system calls.
fn may_change() -> bool {
    process::ring().is_some() && process::seal() == Seal::Open
}

/// Leads all callers here that are in this process already, or come later: for a sensor that came late
/// itself.
pub fn take_over() {
    redirect_all();
    let reals = hooks().iter().filter_map(Hook::real);
    let span = reals.clone().min().unwrap_or(0)..=reals.max().unwrap_or(0);
    each_image(|layout, image| patch_slots(layout, image, &span));
}

fn redirect_all() {
    redirect(hooks());
    IS_REDIRECTED.store(true, Ordering::Relaxed);
}

/// Points the definitions that these hooks call to their twins.
fn redirect(hooks: &[Hook]) {
    // All are looked up before any is changed.
    for hook in hooks {
        hook.real();
    }
    each_image(|layout, image| {
        let (mut first, mut end) = (usize::MAX, 0);
        each_definition(image, hooks, |place, _| {
            let place = &raw const *place as usize;
            (first, end) = (first.min(place), end.max(place + size_of::<usize>()));
        });
        let Some(pages) = layout.symbol_pages(image, first..end).filter(|pages| end != 0 && pages.open())
        else {
            return;
        };
        each_definition(image, hooks, |place, hook| {
            // The loader adds the base, wrapping.
            place.store(hook.twin().wrapping_sub(image.base()), Ordering::Relaxed);
        });
        pages.close();
    });
}

/// The definitions of an image that are what the wrappers of these hooks call.
fn each_definition(image: &Image, hooks: &[Hook], mut visit: impl FnMut(&'static AtomicUsize, &Hook)) {
    for hook in hooks {
        let Some(real) = hook.real() else { continue };
        image.each_definition(hook.name(), |place| {
            if image.base().wrapping_add(place.load(Ordering::Relaxed)) == real {
                visit(place, hook);
            }
        });
    }
}

/// Points the words of an image to us that hold the address of a function that is wrapped. All of these lie
/// in `span`.
///
/// A word that is still to be bound holds the address of the code that will bind it, to the definition that
/// was changed.
fn patch_slots(layout: &Layout<'_>, image: &Image, span: &RangeInclusive<usize>) {
    let protected = layout.after_relocation();
    let mut is_open = false;
    image.each_slot(|place, name| {
        if !layout.is_writable(place) || !place.is_multiple_of(align_of::<usize>()) {
            return;
        }
        // SAFETY: a word of the image's data, which the loader has relocated.
        let slot = unsafe { &*(place as *const AtomicUsize) };
        let value = slot.load(Ordering::Relaxed);
        let Some((_, hook)) = span.contains(&value).then(|| find(name)).flatten() else { return };
        if hook.real() != Some(value) {
            return;
        }
        if protected.contains(place) && !is_open {
            is_open = protected.open();
            if !is_open {
                return;
            }
        }
        slot.store(hook.twin(), Ordering::Relaxed);
    });
    if is_open {
        protected.close();
    }
}

static ITERATE: Real = Real::new();

/// Calls `visit` with each image of the base namespace but our own, while libc keeps them loaded.
pub fn each_image<V: FnMut(&Layout<'_>, &Image)>(mut visit: V) {
    type Iterate = unsafe extern "C" fn(
        unsafe extern "C" fn(*const libc::dl_phdr_info, usize, *mut c_void) -> c_int,
        *mut c_void,
    ) -> c_int;
    unsafe extern "C" fn one<V: FnMut(&Layout<'_>, &Image)>(
        info: *const libc::dl_phdr_info,
        _size: usize,
        visit: *mut c_void,
    ) -> c_int {
        // SAFETY: dl_iterate_phdr(3) passes its own description of an image, and on what it was given.
        let (info, visit) = unsafe { (&*info, &mut *visit.cast::<V>()) };
        // SAFETY: the image's own program headers.
        let layout = unsafe {
            Layout::new(info.dlpi_addr as usize, info.dlpi_phdr.cast(), usize::from(info.dlpi_phnum))
        };
        if info.dlpi_addr as usize != own_base()
            && let Some(image) = layout.image()
        {
            visit(&layout, &image);
        }
        0
    }
    let Some(address) = ITERATE.get(c"dl_iterate_phdr") else { return };
    // SAFETY: the function's prototype (dl_iterate_phdr(3)); `visit` lives as long as the call.
    unsafe { core::mem::transmute::<usize, Iterate>(address)(one::<V>, (&raw mut visit).cast()) };
}

fn own_base() -> usize {
    let own = OWN_MAP.load(Ordering::Acquire) as *const LinkMap;
    // SAFETY: our own entry, or null.
    unsafe { own.as_ref() }.map_or(0, |own| own.base)
}
