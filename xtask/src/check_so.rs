//! Proves, on the linked file, what the sensor promises its host: that it loads anywhere, cannot
//! panic, exports what the hook table says and nothing else, and leaves memory protections alone.
//!
//! Each promise is one row of the printed table, with the value that was found. Two rows need a
//! word. *No panic path*: the sensor's panic handler is `ud2` followed by the bytes of
//! [`PANIC_MARKER`], so wherever the handler ends up, in a function of its own or inlined by LTO,
//! the bytes come along; when the linker could discard every panicking branch the bytes are not in
//! the file. A symbol table, where there is one, is searched for `core`'s panicking functions too.
//! *Size*: what counts is the file as it is shipped, a copy that strip(1) left, without the symbol
//! table and debugging information that only we need; the size on disk is shown beside it. Without
//! strip(1), the loadable bytes count, which are a few more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::elf;
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader, Sym};
use object::{Architecture, Endianness, Object, ObjectSection, ObjectSymbol};

use crate::glassbox;
use crate::shell;

/// The mark that the sensor's panic handler leaves in code that can reach it.
pub const PANIC_MARKER: &[u8; 8] = b"GBXPANIC";

/// The largest file that may go into every process, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// Parts of symbol names (mangled or not) that only a reachable panic leaves behind.
const PANIC_SYMBOLS: [&str; 6] =
    ["panicking", "rust_begin_unwind", "panic_fmt", "unwrap_failed", "expect_failed", "rust_panic"];

/// One promise and what was found.
struct Claim {
    is_kept: bool,
    what: &'static str,
    value: String,
}

/// `cargo xtask check-so [FILE]`: without a file, builds and checks the release pair.
pub fn run(arguments: &[String]) -> Result<()> {
    let (sensor, cli) = match arguments {
        [] => {
            // With the features that the tests build: a release build without them takes two minutes more.
            shell::run(&mut glassbox::full_build_command())?;
            let built = glassbox::built();
            (built.sensor, Some(built.cli))
        }
        [file] => (PathBuf::from(file), None),
        _ => bail!("usage: cargo xtask check-so [FILE]"),
    };
    let hooks = hook_names();
    let mut claims = check_sensor(&sensor, &hooks)?;
    if let Some(cli) = &cli {
        claims.push(check_cli(cli, &hooks)?);
    }

    println!("{}", sensor.display());
    for claim in &claims {
        println!("  {:6}  {:46} {}", if claim.is_kept { "ok" } else { "FAILED" }, claim.what, claim.value);
    }
    let failed = claims.iter().filter(|claim| !claim.is_kept).count();
    if failed > 0 {
        bail!("{failed} of {} claims about {} do not hold", claims.len(), sensor.display());
    }
    Ok(())
}

/// The names that the hook table says the sensor exports.
fn hook_names() -> BTreeSet<String> {
    hook_table::symbols().map(str::to_owned).collect()
}

fn check_sensor(path: &Path, hooks: &BTreeSet<String>) -> Result<Vec<Claim>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}; build it first", path.display()))?;
    let file = ElfFile64::<Endianness>::parse(&*bytes)
        .with_context(|| format!("{} is no 64-bit ELF file", path.display()))?;
    let facts = Facts::read(&file, &bytes)?;
    let mut claims = Vec::new();
    let mut claim = |is_kept, what, value: String| claims.push(Claim { is_kept, what, value });

    claim(facts.needed.is_empty(), "needs no library (DT_NEEDED)", list(&facts.needed));
    claim(facts.undefined.is_empty(), "no undefined dynamic symbol, weak neither", list(&facts.undefined));
    claim(facts.weak.is_empty(), "no weak dynamic symbol", list(&facts.weak));

    let missing: Vec<_> = hooks.difference(&facts.exported).cloned().collect();
    let surplus: Vec<_> = facts.exported.difference(hooks).cloned().collect();
    let exports = match (missing.as_slice(), surplus.as_slice()) {
        ([], []) => format!("{} names", facts.exported.len()),
        _ => format!("missing: {}; not in the table: {}", list(&missing), list(&surplus)),
    };
    let is_same = missing.is_empty() && surplus.is_empty() && !hooks.is_empty();
    claim(is_same, "exports equal the hook table", exports);

    let mut panics = facts.panic_symbols.clone();
    if facts.has_panic_marker {
        panics.push("the panic handler's marker is in the code".to_owned());
    }
    let searched = match facts.symbols {
        0 => "none (by the marker; stripped, no symbols to search)".to_owned(),
        count => format!("none (by the marker, and in {count} symbols)"),
    };
    let value = if panics.is_empty() { searched } else { list(&panics) };
    claim(panics.is_empty(), "no reachable panic path", value);

    claim(!facts.has_text_relocations, "no text relocation", facts.relocations.clone());
    claim(facts.writable_code.is_empty(), "no segment writable and executable", list(&facts.writable_code));
    let stack = match facts.stack_flags {
        None => "no GNU_STACK, so the loader takes it as executable".to_owned(),
        Some(flags) => format!("flags {}", rwx(flags)),
    };
    claim(
        facts.stack_flags.is_some_and(|flags| flags & elf::PF_X == 0),
        "stack not executable (GNU_STACK)",
        stack,
    );
    claim(facts.binds_now, "BIND_NOW", yes(facts.binds_now));
    claim(facts.is_nodelete, "NODELETE", yes(facts.is_nodelete));
    claim(facts.has_static_tls, "STATIC_TLS (initial-exec)", yes(facts.has_static_tls));
    claim(
        facts.eh_frame > 0,
        ".eh_frame present (cancellation unwinds us)",
        format!("{} bytes", facts.eh_frame),
    );

    let shipped = stripped_len(path).unwrap_or(facts.shipped);
    let size = format!("{shipped} bytes stripped, {} KiB on disk with symbols", bytes.len() / 1024);
    claim(shipped <= MAX_BYTES, "file as shipped at most 256 KiB", size);
    Ok(claims)
}

/// The length of the copy that strip(1) leaves; `None` where there is no strip for this machine's files.
fn stripped_len(path: &Path) -> Option<u64> {
    let name = format!("stripped-{}-{}", std::process::id(), path.file_name()?.to_string_lossy());
    let copy = shell::target().join("xtask").join(name);
    fs::create_dir_all(copy.parent()?).ok()?;
    let status = Command::new("strip").arg("-o").args([&copy, path]).status().ok()?;
    let len = fs::metadata(&copy).ok().filter(|_| status.success()).map(|found| found.len());
    let _ = fs::remove_file(&copy);
    len
}

/// The command line tool must not carry the hooks: it would be its own victim.
fn check_cli(path: &Path, hooks: &BTreeSet<String>) -> Result<Claim> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = ElfFile64::<Endianness>::parse(&*bytes).with_context(|| path.display().to_string())?;
    let exported = Facts::read(&file, &bytes)?.exported;
    let hooked: Vec<_> = hooks.intersection(&exported).cloned().collect();
    let value = if hooked.is_empty() { format!("none of {}", hooks.len()) } else { list(&hooked) };
    Ok(Claim { is_kept: hooked.is_empty(), what: "the CLI exports no hooked name", value })
}

/// The content of a shared library's headers and tables.
#[derive(Default)]
struct Facts {
    needed: Vec<String>,
    undefined: Vec<String>,
    weak: Vec<String>,
    exported: BTreeSet<String>,
    panic_symbols: Vec<String>,
    has_panic_marker: bool,
    symbols: usize,
    has_text_relocations: bool,
    relocations: String,
    writable_code: Vec<String>,
    stack_flags: Option<u32>,
    binds_now: bool,
    is_nodelete: bool,
    has_static_tls: bool,
    eh_frame: u64,
    shipped: u64,
}

impl Facts {
    fn read(file: &ElfFile64<'_, Endianness>, bytes: &[u8]) -> Result<Facts> {
        let mut facts = Facts::default();
        facts.read_segments(file);
        facts.read_dynamic(file, bytes)?;
        facts.read_symbols(file);
        facts.eh_frame = file.section_by_name(".eh_frame").map_or(0, |section| section.size());
        Ok(facts)
    }

    fn read_segments(&mut self, file: &ElfFile64<'_, Endianness>) {
        let endian = file.endian();
        for segment in file.elf_program_headers() {
            let flags = segment.p_flags(endian);
            match segment.p_type(endian) {
                elf::PT_LOAD => {
                    // Strip closes the gap that the linker leaves between two segments.
                    self.shipped += segment.p_filesz(endian);
                    if flags & elf::PF_W != 0 && flags & elf::PF_X != 0 {
                        self.writable_code.push(format!("at {:#x}, {}", segment.p_vaddr(endian), rwx(flags)));
                    }
                    if flags & elf::PF_X != 0 {
                        let code = segment.data(endian, file.data()).unwrap_or_default();
                        self.has_panic_marker |= contains(code, PANIC_MARKER);
                    }
                }
                elf::PT_GNU_STACK => self.stack_flags = Some(flags),
                _ => {}
            }
        }
    }

    fn read_dynamic(&mut self, file: &ElfFile64<'_, Endianness>, bytes: &[u8]) -> Result<()> {
        let endian = file.endian();
        let sections = file.elf_header().sections(endian, bytes)?;
        let Some((entries, strings)) = sections.dynamic(endian, bytes)? else {
            return Ok(());
        };
        let strings = sections.strings(endian, bytes, strings)?;
        for entry in entries {
            let value = entry.d_val(endian);
            let flags = u32::try_from(value).unwrap_or(0);
            match entry.d_tag(endian) {
                elf::DT_NEEDED => {
                    let name = u32::try_from(value).ok().and_then(|at| strings.get(at).ok());
                    self.needed.push(String::from_utf8_lossy(name.unwrap_or(b"?")).into_owned());
                }
                elf::DT_TEXTREL => self.has_text_relocations = true,
                elf::DT_BIND_NOW => self.binds_now = true,
                elf::DT_FLAGS => {
                    self.binds_now |= flags & elf::DF_BIND_NOW != 0;
                    self.has_static_tls |= flags & elf::DF_STATIC_TLS != 0;
                    self.has_text_relocations |= flags & elf::DF_TEXTREL != 0;
                }
                elf::DT_FLAGS_1 => {
                    self.binds_now |= flags & elf::DF_1_NOW != 0;
                    self.is_nodelete |= flags & elf::DF_1_NODELETE != 0;
                }
                _ => {}
            }
        }
        self.find_text_relocations(file);
        Ok(())
    }

    /// A relocation in a segment that is not writable is a text relocation, whatever the flags say.
    fn find_text_relocations(&mut self, file: &ElfFile64<'_, Endianness>) {
        let endian = file.endian();
        let mut count = 0_u32;
        for (at, relocation) in file.dynamic_relocations().into_iter().flatten() {
            count += 1;
            // The linker for aarch64 does not set the flag: there it is the kind of relocation that tells.
            let kind = object::RelocationFlags::Elf { r_type: elf::R_AARCH64_TLS_TPREL };
            self.has_static_tls |= file.architecture() == Architecture::Aarch64 && relocation.flags() == kind;
            let is_writable = file.elf_program_headers().iter().any(|segment| {
                let start = segment.p_vaddr(endian);
                segment.p_type(endian) == elf::PT_LOAD
                    && segment.p_flags(endian) & elf::PF_W != 0
                    && (start..start.saturating_add(segment.p_memsz(endian))).contains(&at)
            });
            self.has_text_relocations |= !is_writable;
        }
        self.relocations = format!(
            "{count} relocations, {}",
            if self.has_text_relocations { "some in code" } else { "all in data" }
        );
    }

    fn read_symbols(&mut self, file: &ElfFile64<'_, Endianness>) {
        let endian = file.endian();
        for symbol in file.dynamic_symbols() {
            let name = symbol.name().unwrap_or("?").to_owned();
            let raw = symbol.elf_symbol();
            if raw.st_bind() == elf::STB_WEAK {
                self.weak.push(name.clone());
            }
            if raw.is_undefined(endian) {
                self.undefined.push(name);
            } else if matches!(raw.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED)
                && raw.st_bind() != elf::STB_LOCAL
            {
                self.exported.insert(name);
            }
        }
        let mut panicking = BTreeMap::new();
        for symbol in file.symbols() {
            self.symbols += 1;
            let name = symbol.name().unwrap_or_default();
            if PANIC_SYMBOLS.iter().any(|part| name.contains(part)) {
                panicking.insert(name.to_owned(), symbol.address());
            }
        }
        self.panic_symbols = panicking.iter().map(|(name, at)| format!("{name} at {at:#x}")).collect();
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [..] if names.len() > 12 => format!("{} … ({} in all)", names[..12].join(" "), names.len()),
        [..] => names.join(", "),
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn rwx(flags: u32) -> String {
    [(elf::PF_R, 'r'), (elf::PF_W, 'w'), (elf::PF_X, 'x')]
        .map(|(bit, letter)| if flags & bit == 0 { '-' } else { letter })
        .iter()
        .collect()
}

#[cfg(test)]
mod tests {
    //! Crafted libraries: one that keeps every promise, and one that breaks each.

    use std::process::Command;

    use super::*;
    use crate::shell;

    /// A clean sensor, in C: one hook, initial-exec TLS, nothing else.
    const CLEAN: &str = r#"
        static __thread int guard __attribute__((tls_model("initial-exec")));
        int open(const char *path, int flags, ...) { return guard++ + flags + *path; }
    "#;
    const CLEAN_FLAGS: [&str; 6] = [
        "-nostdlib",
        "-Wl,-z,now",
        "-Wl,-z,nodelete",
        "-Wl,-z,noexecstack",
        "-fasynchronous-unwind-tables",
        "-O2",
    ];

    fn library(name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let dir = shell::target().join("xtask").join("check-so-tests");
        fs::create_dir_all(&dir).unwrap();
        let (c, so) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
        fs::write(&c, source).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-w", "-o"]).arg(&so).arg(&c).args(flags);
        shell::output(&mut compiler).unwrap();
        so
    }

    /// The rows that fail for a library built from `source` with `flags`.
    fn broken(name: &str, source: &str, flags: &[&str]) -> Vec<&'static str> {
        let hooks = BTreeSet::from(["open".to_owned()]);
        let claims = check_sensor(&library(name, source, flags), &hooks).unwrap();
        claims.into_iter().filter(|claim| !claim.is_kept).map(|claim| claim.what).collect()
    }

    fn with<'a>(flags: &[&'a str]) -> Vec<&'a str> {
        CLEAN_FLAGS.iter().chain(flags).copied().collect()
    }

    #[test]
    fn a_clean_library_keeps_every_claim() {
        assert_eq!(Vec::<&str>::new(), broken("clean", CLEAN, &CLEAN_FLAGS));
    }

    #[test]
    fn a_needed_library_is_found() {
        let flags: Vec<&str> = with(&["-Wl,--no-as-needed", "-lc"]);

        assert_eq!(vec!["needs no library (DT_NEEDED)"], broken("needed", CLEAN, &flags));
    }

    #[test]
    fn an_undefined_symbol_is_found() {
        let source =
            format!("{CLEAN} extern int puts(const char *); int open64(void) {{ return puts(\"\"); }}");

        let failed = broken("undefined", &source, &CLEAN_FLAGS);

        assert!(failed.contains(&"no undefined dynamic symbol, weak neither"), "{failed:?}");
    }

    #[test]
    fn an_undefined_weak_symbol_is_found() {
        let source = format!(
            "{CLEAN} extern int puts(const char *) __attribute__((weak)); int (*probe)(const char *) __attribute__((visibility(\"hidden\"))) = puts;"
        );

        let failed = broken("weak", &source, &CLEAN_FLAGS);

        assert!(failed.contains(&"no undefined dynamic symbol, weak neither"), "{failed:?}");
        assert!(failed.contains(&"no weak dynamic symbol"), "{failed:?}");
    }

    #[test]
    fn an_export_outside_the_table_is_found() {
        let source = format!("{CLEAN} int helper(void) {{ return 1; }}");

        assert_eq!(vec!["exports equal the hook table"], broken("surplus", &source, &CLEAN_FLAGS));
    }

    #[test]
    fn a_hook_that_is_not_exported_is_found() {
        let source = CLEAN.replace("int open(", "__attribute__((visibility(\"hidden\"))) int open(");

        assert!(broken("missing", &source, &CLEAN_FLAGS).contains(&"exports equal the hook table"));
    }

    #[test]
    fn the_panic_marker_is_found_without_any_symbol() {
        let source =
            CLEAN.replace("{ return", r#"{ if (!path) __asm__ volatile("ud2; .ascii \"GBXPANIC\""); return"#);

        assert_eq!(vec!["no reachable panic path"], broken("marker", &source, &with(&["-s"])));
    }

    #[test]
    fn a_panicking_symbol_is_found() {
        let source = format!(
            "__attribute__((noinline)) static void _ZN4core9panicking9panic_fmt17h0E(void) {{ __asm__ volatile(\"\"); }} {}",
            CLEAN.replace("{ return", "{ if (!path) _ZN4core9panicking9panic_fmt17h0E(); return")
        );

        assert_eq!(vec!["no reachable panic path"], broken("panicking", &source, &CLEAN_FLAGS));
    }

    #[test]
    fn a_text_relocation_is_found() {
        let source = format!(
            "{CLEAN} __asm__(\".text\\n.quad open\\n.section .note.GNU-stack,\\\"\\\",@progbits\\n.text\");"
        );

        assert_eq!(vec!["no text relocation"], broken("textrel", &source, &with(&["-Wl,-z,notext"])));
    }

    #[test]
    fn a_writable_executable_segment_is_found() {
        assert!(broken("wx", CLEAN, &with(&["-Wl,-N"])).contains(&"no segment writable and executable"));
    }

    #[test]
    fn an_executable_stack_is_found() {
        assert_eq!(
            vec!["stack not executable (GNU_STACK)"],
            broken("stack", CLEAN, &with(&["-Wl,-z,execstack"]))
        );
    }

    #[test]
    fn missing_flags_are_found() {
        let source = "int open(const char *path, int flags, ...) { return flags + *path; }";

        let failed = broken("flags", source, &["-nostdlib", "-Wl,-z,lazy", "-O2"]);

        assert_eq!(vec!["BIND_NOW", "NODELETE", "STATIC_TLS (initial-exec)"], failed);
    }

    #[test]
    fn missing_unwind_tables_are_found() {
        let flags = ["-nostdlib", "-Wl,-z,now", "-Wl,-z,nodelete", "-fno-asynchronous-unwind-tables", "-O2"];

        assert_eq!(vec![".eh_frame present (cancellation unwinds us)"], broken("eh", CLEAN, &flags));
    }

    #[test]
    fn a_file_above_256_kib_is_found() {
        let source = format!(
            "{CLEAN} static volatile char big[300000] = {{1}}; static void *keep __attribute__((used)) = (void *)big;"
        );

        assert_eq!(vec!["file as shipped at most 256 KiB"], broken("big", &source, &CLEAN_FLAGS));
    }

    #[test]
    fn a_tool_that_carries_a_hook_is_found() {
        let hooks = BTreeSet::from(["open".to_owned()]);

        assert!(!check_cli(&library("cli-bad", CLEAN, &CLEAN_FLAGS), &hooks).unwrap().is_kept);
        assert!(check_cli(&library("cli-good", "int main;", &CLEAN_FLAGS), &hooks).unwrap().is_kept);
    }

    #[test]
    fn the_sensors_panic_handler_carries_the_marker() {
        let source = include_str!("../../src/lib.rs");

        assert_eq!(2, source.matches("GBXPANIC").count(), "one for each architecture");
    }

    #[test]
    fn bytes_that_are_no_elf_file_are_an_error_not_a_panic() {
        let file = shell::target().join("xtask").join("not-elf");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, b"\x7fELF\x02\x01\x01 and then nothing").unwrap();

        assert!(check_sensor(&file, &BTreeSet::new()).is_err());
    }

    #[test]
    fn a_rust_panic_handler_with_the_marker_is_found_only_where_a_panic_can_be_reached() {
        let dir = shell::target().join("xtask").join("check-so-tests");
        fs::create_dir_all(&dir).unwrap();
        let build = |name: &str, body: &str| {
            let (rs, so) = (dir.join(format!("{name}.rs")), dir.join(format!("lib{name}.so")));
            let source = format!(
                "#![no_std]\n#[panic_handler] fn panic(_: &core::panic::PanicInfo<'_>) -> ! {{\n\
                 unsafe {{ core::arch::asm!(\"ud2\", \".ascii \\\"GBXPANIC\\\"\", options(noreturn)) }} }}\n\
                 #[unsafe(no_mangle)] pub extern \"C\" fn open(path: usize) -> u8 {{ {body} }}"
            );
            fs::write(&rs, source).unwrap();
            let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
            rustc.args([
                "--edition=2024",
                "--crate-type=cdylib",
                "-Cpanic=abort",
                "-Copt-level=3",
                "-Clto=fat",
            ]);
            rustc.args(["-Clink-args=-nostdlib -nostartfiles -Wl,--gc-sections", "-o"]).arg(&so).arg(&rs);
            shell::output(&mut rustc).unwrap();
            shell::output(Command::new("strip").arg(&so)).unwrap();
            let bytes = fs::read(&so).unwrap();
            let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
            Facts::read(&file, &bytes).unwrap().has_panic_marker
        };

        assert!(build("can_panic", "let table = [1_u8, 2, 3]; table[path]"));
        assert!(!build("cannot_panic", "let table = [1_u8, 2, 3]; table.get(path).copied().unwrap_or(0)"));
    }
}
