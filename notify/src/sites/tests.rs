//! The scan of real libcs, compared with objdump; and of files that a test makes.

use std::collections::BTreeMap;
use std::process::Command;

use super::*;
use crate::calls::CALLS;

/// Debian's packages libc6, musl and libc6-arm64-cross.
const GLIBC: [&str; 2] = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"];
const MUSL: &str = "/lib/x86_64-linux-musl/libc.so";
const ARM_GLIBC: [&str; 2] =
    ["/usr/aarch64-linux-gnu/lib/libc.so.6", "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"];

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}; tests/packages.txt has its package"))
}

fn scan(path: &str) -> Sites {
    Sites::of_elf(&read(path)).unwrap()
}

/// How many sites a call has, by its name.
fn count(sites: &Sites, name: &str) -> usize {
    let call = CALLS.iter().find(|call| call.name == name).unwrap();
    sites.page_offsets(call.number(sites.machine.native()).unwrap()).count()
}

/// The numbers that the scan finds for each system call instruction, by the instruction's address.
fn by_site<C: Code>(path: &str) -> BTreeMap<u64, BTreeSet<u32>> {
    let bytes = read(path);
    let image = elf::Image::parse(&bytes).unwrap();
    of_sites(&mut Listing::<C>::new(&image).unwrap(), &mut { trace::MOST_STEPS_IN_FILE })
}

fn of_sites<C: Code>(listing: &mut Listing<C>, left: &mut usize) -> BTreeMap<u64, BTreeSet<u32>> {
    let sites = listing.calls().to_vec();
    sites.into_iter().map(|site| (site, trace::numbers(listing, site, left).unwrap())).collect()
}

/// A line of a disassembly.
struct Line {
    address: u64,
    mnemonic: String,
    operands: String,
}

fn disassemble(objdump: &str, path: &str) -> Vec<Line> {
    let output = Command::new(objdump).args(["-d", "--no-show-raw-insn", path]).output();
    let output =
        output.unwrap_or_else(|error| panic!("{objdump}: {error}; tests/packages.txt has its package"));
    assert!(output.status.success(), "{objdump} {path}");
    let line = |line: &str| {
        let (address, rest) = line.split_once(":\t")?;
        let rest = rest.split("# ").next()?.split("//").next()?.split('<').next()?.replace('\t', " ");
        let (mnemonic, operands) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
        let address = u64::from_str_radix(address.trim(), 16).ok()?;
        Some(Line { address, mnemonic: mnemonic.to_owned(), operands: operands.trim().to_owned() })
    };
    String::from_utf8(output.stdout).unwrap().lines().filter_map(line).collect()
}

/// What a line does to a register.
enum Written {
    Constant(u32),
    /// The value of another register.
    From(u8),
    Otherwise,
    Not,
}

/// The constant that a register holds at a line, by the last write to it in the lines before, if that is of a
/// constant or of another register's, and no line between leads elsewhere.
fn in_a_straight_line(lines: &[Line], register: u8, value: Writes) -> Option<u32> {
    let mut register = register;
    for line in lines.iter().rev() {
        match value(line, register) {
            Written::Constant(number) => return Some(number),
            Written::From(other) => register = other,
            Written::Otherwise => return None,
            Written::Not => {}
        }
    }
    None
}

type Writes = fn(&Line, u8) -> Written;

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// The number of a register of x86_64 by the name of its whole or its lower half, and, with the second value
/// false, of its parts.
fn x86_register(operand: &str) -> Option<(u8, bool)> {
    const OLD: [[&str; 5]; 8] = [
        ["rax", "eax", "ax", "al", "ah"],
        ["rcx", "ecx", "cx", "cl", "ch"],
        ["rdx", "edx", "dx", "dl", "dh"],
        ["rbx", "ebx", "bx", "bl", "bh"],
        ["rsp", "esp", "sp", "spl", ""],
        ["rbp", "ebp", "bp", "bpl", ""],
        ["rsi", "esi", "si", "sil", ""],
        ["rdi", "edi", "di", "dil", ""],
    ];
    let name = operand.strip_prefix('%')?;
    let old = OLD.iter().position(|names| names.contains(&name));
    if let Some(number) = old {
        return Some((number as u8, OLD[number][..2].contains(&name)));
    }
    let digits = name.strip_prefix('r')?.trim_end_matches(['d', 'w', 'b']);
    Some((digits.parse().ok()?, !name.ends_with(['w', 'b'])))
}

/// Of x86_64, in AT&T's syntax, where the last operand is written.
fn of_x86_64(line: &Line, register: u8) -> Written {
    let starts = |words: &[&str]| words.iter().any(|word| line.mnemonic.starts_with(word));
    // Instructions that lead elsewhere, or that write registers without naming them.
    if starts(&["call", "jmp", "notrack", "bnd", "ret", "int", "hlt", "ud2", "xchg", "xadd", "rep"])
        || (starts(&["syscall"]) && [0, 1, 11].contains(&register))
        || (starts(&["cltq", "cwtl", "lods", "mul", "imul", "div", "idiv", "cpuid", "rdtsc", "cqto", "cltd"])
            && [0, 1, 2, 3].contains(&register))
        || (starts(&["lock", "cmpxchg"]) && (register == 0 || line.operands.contains("xadd")))
    {
        return Written::Otherwise;
    }
    if starts(&["cmp", "test", "push", "bt "]) {
        return Written::Not;
    }
    let (first, last) = line.operands.rsplit_once(',').unwrap_or(("", &line.operands));
    let Some((_, is_wide)) = x86_register(last).filter(|(written, _)| *written == register) else {
        return Written::Not;
    };
    match (line.mnemonic.as_str(), x86_register(first)) {
        ("xor", _) if first == last && is_wide => Written::Constant(0),
        ("mov" | "movslq", Some((other, true))) if is_wide => Written::From(other),
        ("mov", _) if is_wide && first.starts_with('$') => {
            hexadecimal(&first[1..]).map_or(Written::Otherwise, Written::Constant)
        }
        _ => Written::Otherwise,
    }
}

/// Of aarch64, where the first operand is written.
fn of_aarch64(line: &Line, register: u8) -> Written {
    let number = |operand: &str| operand.strip_prefix(['x', 'w'])?.parse::<u8>().ok();
    let mnemonic = line.mnemonic.as_str();
    if ["b", "bl", "br", "blr", "ret", "brk", "udf", ".word"].contains(&mnemonic) {
        return Written::Otherwise;
    }
    if mnemonic == "svc" {
        return if register == 0 { Written::Otherwise } else { Written::Not };
    }
    if ["st", "cmp", "cb", "tb"].iter().any(|word| mnemonic.starts_with(word)) {
        return Written::Not;
    }
    let operands: Vec<&str> = line.operands.split(", ").collect();
    let written = |index: usize| operands.get(index).copied().and_then(number) == Some(register);
    let second = operands.get(1).copied().unwrap_or_default();
    match mnemonic {
        "mov" if written(0) && second.starts_with("#0x") => {
            hexadecimal(&second[1..]).map_or(Written::Otherwise, Written::Constant)
        }
        "mov" if written(0) => number(second).map_or(Written::Otherwise, Written::From),
        _ if written(0) || (mnemonic == "ldp" && written(1)) => Written::Otherwise,
        _ => Written::Not,
    }
}

/// What a comparison with objdump found.
#[derive(Debug, PartialEq, Eq)]
struct Agreement {
    /// System call instructions, at the same addresses in both.
    sites: usize,
    /// Sites that objdump shows a constant for in a straight line, all of which the scan found.
    straight: usize,
    /// Sites of which the scan found numbers, and a straight line shows none.
    by_paths: usize,
    /// Sites of which neither shows a number.
    unresolved: usize,
}

fn compare<C: Code>(objdump: &str, path: &str, call: (&str, &str), value: Writes) -> Agreement {
    let found = by_site::<C>(path);
    let lines = disassemble(objdump, path);
    let is_call = |line: &Line| line.mnemonic == call.0 && line.operands == call.1;
    let theirs: Vec<u64> = lines.iter().filter(|line| is_call(line)).map(|line| line.address).collect();
    assert_eq!(theirs, found.keys().copied().collect::<Vec<_>>(), "{path}");

    let mut agreement = Agreement { sites: found.len(), straight: 0, by_paths: 0, unresolved: 0 };
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_call(line)) {
        let numbers = &found[&line.address];
        match in_a_straight_line(&lines[..at], C::NUMBER, value) {
            Some(number) => {
                assert!(numbers.contains(&number), "{path} {:#x}: {number} {numbers:?}", line.address);
                agreement.straight += 1;
            }
            None if numbers.is_empty() => agreement.unresolved += 1,
            None => agreement.by_paths += 1,
        }
    }
    agreement
}

fn compare_x86_64(path: &str) -> Agreement {
    compare::<x86_64::Decoded>("objdump", path, ("syscall", ""), of_x86_64)
}

#[test]
fn every_site_of_glibc_is_one_to_objdump_and_its_number_is_the_same() {
    for path in GLIBC {
        let agreement = compare_x86_64(path);
        println!("{path}: {agreement:?}");
        assert!(agreement.sites >= 40 && agreement.unresolved <= 3, "{agreement:?}");
        assert!(agreement.straight * 10 >= agreement.sites * 9, "{agreement:?}");
    }
}

#[test]
fn every_site_of_musl_is_one_to_objdump_and_its_number_is_the_same() {
    let agreement = compare_x86_64(MUSL);
    println!("{agreement:?}");
    assert!(agreement.sites >= 400 && agreement.unresolved <= 10, "{agreement:?}");
    assert!(agreement.straight * 100 >= agreement.sites * 85, "{agreement:?}");
}

#[test]
fn every_site_of_an_arm_glibc_is_one_to_objdump_and_its_number_is_the_same() {
    for path in ARM_GLIBC {
        let objdump = "aarch64-linux-gnu-objdump";
        let agreement = compare::<aarch64::Decoded>(objdump, path, ("svc", "#0x0"), of_aarch64);
        println!("{path}: {agreement:?}");
        assert!(agreement.sites >= 40 && agreement.unresolved <= 3, "{agreement:?}");
        assert!(agreement.straight * 10 >= agreement.sites * 9, "{agreement:?}");
    }
}

/// The instructions that were decoded, of all.
fn compare_with_all_code<C: Code>(image: &elf::Image) -> (usize, usize) {
    let (mut listing, mut whole) = (Listing::<C>::new(image).unwrap(), Listing::<C>::whole(image));
    if !listing.calls().is_empty() {
        assert_eq!(Vec::<(u64, u64)>::new(), listing.overlooked(&whole));
    }
    let mut left = [trace::MOST_STEPS_IN_FILE; 2];
    let [of_part, of_all] = &mut left;

    assert_eq!(of_sites(&mut whole, of_all), of_sites(&mut listing, of_part));
    assert_eq!(left[0], left[1], "steps");
    (listing.decoded(), whole.decoded())
}

#[test]
fn a_part_of_the_code_gives_the_sites_and_numbers_of_all() {
    for path in [&GLIBC[..], &[MUSL], &ARM_GLIBC].concat() {
        let bytes = read(path);
        let image = elf::Image::parse(&bytes).unwrap();

        let (decoded, all) = match image.machine {
            Machine::X86_64 => compare_with_all_code::<x86_64::Decoded>(&image),
            Machine::Aarch64 => compare_with_all_code::<aarch64::Decoded>(&image),
        };

        println!("{path}: {decoded} of {all} instructions");
        // The loaders have no symbols within.
        assert!(path.contains("ld-linux") || decoded * 3 < all, "{path}: {decoded} of {all}");
    }
}

#[test]
fn both_libcs_of_this_machine_have_sites_for_the_calls_that_hooks_see() {
    for path in [GLIBC[0], MUSL] {
        let sites = scan(path);
        for name in [
            "openat",
            "connect",
            "execve",
            "clone",
            "unlink",
            "unlinkat",
            "rename",
            "socket",
            "bind",
            "listen",
            "accept4",
            "sendto",
            "sendmsg",
            "mmap",
            "mprotect",
            "kill",
            "mkdir",
            "chmod",
            "fchownat",
            "setuid",
            "mount",
            "unshare",
            "setns",
            "ptrace",
            "memfd_create",
        ] {
            assert!(count(&sites, name) > 0, "{path}: {name}");
        }
        assert_eq!(Machine::X86_64, sites.machine());
        assert!(sites.build_id.as_ref().is_some_and(|id| id.len() == 20), "{path}");
        assert!(sites.addresses().is_sorted(), "{path}");
    }
}

#[test]
fn the_loader_has_sites_of_its_own_for_what_it_loads() {
    let loader = scan(GLIBC[1]);

    for name in ["openat", "mmap", "mprotect"] {
        assert!(count(&loader, name) > 0, "{name}");
    }
    assert_eq!(0, count(&loader, "connect"));
}

#[test]
fn musls_cancellable_calls_share_one_site_that_functions_pass_the_number_to() {
    let sites = by_site::<x86_64::Decoded>(MUSL);
    let shared: Vec<_> = sites.values().filter(|numbers| numbers.len() > 20).collect();

    // One where the thread can be cancelled, one where it cannot.
    assert_eq!(2, shared.len());
    for number in [libc::SYS_open, libc::SYS_openat, libc::SYS_connect, libc::SYS_accept4, libc::SYS_read] {
        assert!(shared.iter().all(|numbers| numbers.contains(&(number as u32))), "{number}");
    }
}

#[test]
fn libcs_function_syscall_makes_no_call_of_its_own() {
    for path in [GLIBC[0], MUSL] {
        let bytes = read(path);
        let image = elf::Image::parse(&bytes).unwrap();
        let entry = *image.open_entries.first().unwrap();
        let (site, numbers) =
            by_site::<x86_64::Decoded>(path).range(entry..).next().map(|(a, n)| (*a, n.clone())).unwrap();

        assert!(site - entry < 0x80, "{path}");
        assert_eq!(BTreeSet::new(), numbers, "{path}");
    }
}

#[test]
fn a_number_that_callers_pass_to_the_function_syscall_does_not_count() {
    // mov edi, 2; call 1; ret; 1: mov rax, rdi; syscall
    let bytes = [0xbf, 2, 0, 0, 0, 0xe8, 1, 0, 0, 0, 0xc3, 0x48, 0x89, 0xf8, 0x0f, 5];
    let numbers = |open_entries: Vec<u64>| {
        let parts = vec![elf::Part { address: 0x1000, bytes: &bytes }];
        let symbols = vec![0x100b];
        let image = elf::Image { machine: Machine::X86_64, build_id: None, parts, symbols, open_entries };
        let mut listing = Listing::<x86_64::Decoded>::new(&image).unwrap();
        trace::numbers(&mut listing, 0x100e, &mut 1000).unwrap()
    };

    assert_eq!(BTreeSet::from([2]), numbers(vec![]));
    assert_eq!(BTreeSet::new(), numbers(vec![0x100b]));
}

#[test]
fn an_instruction_begins_at_each_symbol() {
    // Two bytes of data that begin a longer instruction, then mov eax, 2; syscall.
    let bytes = [0x48, 0xb8, 0xb8, 2, 0, 0, 0, 0x0f, 5, 0xc3, 0xc3, 0xc3];
    let calls = |symbols: Vec<u64>| {
        let parts = vec![elf::Part { address: 0x1000, bytes: &bytes }];
        let image =
            elf::Image { machine: Machine::X86_64, build_id: None, parts, symbols, open_entries: vec![] };
        Listing::<x86_64::Decoded>::new(&image).unwrap().calls().to_vec()
    };

    assert_eq!(Vec::<u64>::new(), calls(vec![]));
    assert_eq!(vec![0x1007], calls(vec![0x1002]));
}

/// An ELF file with one executable segment, which begins at 0x1000 in memory, and no sections.
fn made(machine: u16, code: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let length = code.len() as u64;
    file.extend([3_u16, machine].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1_u32.to_le_bytes());
    // Entry, program headers, section headers.
    file.extend([0_u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 1, 64, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    // A segment that is loaded and executable.
    file.extend([1_u32, 5].iter().flat_map(|word| word.to_le_bytes()));
    file.extend([120_u64, 0x1000, 0x1000, length, length, 0x1000].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(code);
    file
}

/// The numbers that the scan finds in code of x86_64, with the page offsets behind the instructions, and how
/// many it does not.
fn found(code: &[u8]) -> (Vec<(u32, u16)>, usize) {
    let sites = Sites::of_elf(&made(62, code)).unwrap();
    let all =
        sites.by_number.iter().flat_map(|(number, offsets)| offsets.iter().map(|offset| (*number, *offset)));
    (all.collect(), sites.unresolved())
}

#[test]
fn the_number_is_found_however_it_is_set() {
    for (what, code, number) in [
        ("mov eax, 257", &[0xb8, 1, 1, 0, 0, 0x0f, 5][..], 257),
        ("mov rax, 257", &[0x48, 0xc7, 0xc0, 1, 1, 0, 0, 0x0f, 5], 257),
        ("xor eax, eax", &[0x31, 0xc0, 0x0f, 5], 0),
        ("push 2; pop rax", &[0x6a, 2, 0x58, 0x0f, 5], 2),
        ("xor eax, eax; mov al, 56", &[0x31, 0xc0, 0xb0, 56, 0x0f, 5], 56),
        ("mov r8d, 2; mov rax, r8", &[0x41, 0xb8, 2, 0, 0, 0, 0x4c, 0x89, 0xc0, 0x0f, 5], 2),
        (
            "mov eax, 2; mov edx, 9; mov r10, rcx",
            &[0xb8, 2, 0, 0, 0, 0xba, 9, 0, 0, 0, 0x49, 0x89, 0xca, 0x0f, 5],
            2,
        ),
        ("mov ebx, 2; call; mov eax, ebx", &[0xbb, 2, 0, 0, 0, 0xe8, 0, 1, 0, 0, 0x89, 0xd8, 0x0f, 5], 2),
        (
            "mov edi, 2; call 1; ret; 1: mov rax, rdi",
            &[0xbf, 2, 0, 0, 0, 0xe8, 1, 0, 0, 0, 0xc3, 0x48, 0x89, 0xf8, 0x0f, 5],
            2,
        ),
        (
            "push 2; call 1; ret; 1: sub rsp, 8; mov rax, [rsp + 16]",
            &[0x6a, 2, 0xe8, 1, 0, 0, 0, 0xc3, 0x48, 0x83, 0xec, 8, 0x48, 0x8b, 0x44, 0x24, 16, 0x0f, 5],
            2,
        ),
    ] {
        let behind = (0x1000 + code.len() as u16) & 0xfff;
        assert_eq!((vec![(number, behind)], 0), found(code), "{what}");
    }
}

#[test]
fn each_number_that_a_jump_brings_counts() {
    // test edi, edi; mov eax, 2; je 1; mov eax, 3; 1: syscall
    let code = [0x85, 0xff, 0xb8, 2, 0, 0, 0, 0x74, 5, 0xb8, 3, 0, 0, 0, 0x0f, 5];

    assert_eq!((vec![(2, 0x10), (3, 0x10)], 0), found(&code));
}

#[test]
fn a_number_that_the_code_does_not_show_is_unresolved() {
    for (what, code) in [
        ("mov eax, [rdi]", &[0x8b, 7, 0x0f, 5][..]),
        ("mov eax, 2; call", &[0xb8, 2, 0, 0, 0, 0xe8, 0, 1, 0, 0, 0x0f, 5]),
        ("mov eax, 2; ret", &[0xb8, 2, 0, 0, 0, 0xc3, 0x0f, 5]),
        ("mov eax, 2; jmp", &[0xb8, 2, 0, 0, 0, 0xeb, 0x40, 0x0f, 5]),
        ("push 2; lea rax, [rsp]", &[0x6a, 2, 0x48, 0x8d, 0x04, 0x24, 0x0f, 5]),
        ("mov eax, 2; inc eax", &[0xb8, 2, 0, 0, 0, 0xff, 0xc0, 0x0f, 5]),
        ("mov eax, 0x400", &[0xb8, 0, 4, 0, 0, 0x0f, 5]),
        ("mov eax, 2; mov ah, 1", &[0xb8, 2, 0, 0, 0, 0xb4, 1, 0x0f, 5]),
        ("push 2; add rsp, 8; pop rax", &[0x6a, 2, 0x48, 0x83, 0xc4, 8, 0x58, 0x0f, 5]),
        ("push 2; mov byte [rsp], 3; pop rax", &[0x6a, 2, 0xc6, 4, 0x24, 3, 0x58, 0x0f, 5]),
    ] {
        assert_eq!((vec![], 1), found(code), "{what}");
    }
    // A second call has the result of the first one in the register.
    assert_eq!((vec![(2, 7)], 1), found(&[0xb8, 2, 0, 0, 0, 0x0f, 5, 0x0f, 5]));
}

#[test]
fn bytes_within_another_instruction_are_no_site() {
    // mov eax, 0x050f
    assert_eq!((vec![], 0), found(&[0xb8, 0x0f, 5, 0, 0, 0xc3]));
}

#[test]
fn code_of_aarch64_is_read_by_its_own_encodings() {
    let found = |words: &[u32]| {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let sites = Sites::of_elf(&made(183, &code)).unwrap();
        (sites.numbers().collect::<Vec<_>>(), sites.unresolved())
    };
    const SVC: u32 = 0xd400_0001;
    const MOV_X8_56: u32 = 0xd280_0708;

    assert_eq!((vec![56], 0), found(&[MOV_X8_56, SVC]));
    // mov w8, #221; mov x0, x1; str x8, [sp]
    assert_eq!((vec![221], 0), found(&[0x5280_1ba8, 0xaa01_03e0, 0xf900_03e8, SVC]));
    // mov x1, #56; bl 1; ret; 1: mov x8, x1
    assert_eq!((vec![56], 0), found(&[0xd280_0701, 0x9400_0002, 0xd65f_03c0, 0xaa01_03e8, SVC]));
    // cbz x0, 1; mov x8, #57; 1: svc, with mov x8, #56 before
    assert_eq!((vec![56, 57], 0), found(&[MOV_X8_56, 0xb400_0040, 0xd280_0728, SVC]));
    // ldr x8, [x0]; ldp x8, x9, [sp]; bl; ret; ldr x0, [x8], #8
    for other in [0xf940_0008, 0xa940_27e8, 0x9400_0100, 0xd65f_03c0, 0xf840_8500] {
        assert_eq!((vec![], 1), found(&[MOV_X8_56, other, SVC]), "{other:#x}");
    }
    // A system call leaves the number where it is.
    assert_eq!((vec![56], 0), found(&[MOV_X8_56, SVC, SVC]));
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let refused = |bytes: &[u8]| Sites::of_elf(bytes).unwrap_err().to_string();

    assert_eq!(
        "not a readable 64-bit ELF file (Invalid ELF header size or alignment); give the libc and the loader \
         that the program uses (ldd shows them)",
        refused(b"#!/bin/sh\n")
    );
    assert!(refused(&made(243, &[0])).starts_with("its code is for machine 243, neither"));
    assert!(refused(&made(62, &[])).starts_with("it has no executable part"));
    assert!(refused(&vec![0; MOST_BYTES + 1]).starts_with("67108865 bytes are more than"));
    assert!(
        refused(&made(62, &[0x0f, 5].repeat(MOST_SITES + 1)))
            .starts_with("it has more than 100000 system call")
    );
    // jmp to itself, after a system call without which nothing is decoded.
    let jumps: Vec<u8> = [0x0f, 5].into_iter().chain([0xeb, 0xfe].repeat(listing::MOST_JUMPS + 1)).collect();
    assert!(refused(&made(62, &jumps)).starts_with("it has more than 4000000 jumps"));
}

/// Each pop makes the value's place another one, so that a loop of them never ends by itself; each jump leads
/// there.
#[test]
fn the_way_back_is_bounded_in_a_file_that_never_ends() {
    let mut code = vec![0xb8, 2, 0, 0, 0, 0x0f, 5];
    for _ in 0..2000 {
        // pop rax; syscall; jmp to the beginning
        let back = (-(code.len() as i32) - 8).to_le_bytes();
        code.extend([0x58, 0x0f, 5, 0xe9]);
        code.extend(back);
    }
    let started = std::time::Instant::now();
    let sites = Sites::of_elf(&made(62, &code)).unwrap();

    assert_eq!(2001, sites.addresses().len());
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    // What is found before the steps run out counts.
    assert!(sites.page_offsets(2).any(|offset| offset == 7));
}

#[test]
fn steps_that_are_used_up_leave_sites_without_a_number() {
    let code = [0xb8, 2, 0, 0, 0, 0x0f, 5];
    let parts = vec![elf::Part { address: 0x1000, bytes: &code }];
    let image =
        elf::Image { machine: Machine::X86_64, build_id: None, parts, symbols: vec![], open_entries: vec![] };
    let mut listing = Listing::<x86_64::Decoded>::new(&image).unwrap();

    assert_eq!(BTreeSet::from([2]), trace::numbers(&mut listing, 0x1005, &mut 1).unwrap());
    assert_eq!(BTreeSet::new(), trace::numbers(&mut listing, 0x1005, &mut 0).unwrap());
}

#[test]
fn parts_that_claim_the_same_bytes_are_decoded_once() {
    let code = [0xb8, 2, 0, 0, 0, 0x0f, 5];
    let part = |address| elf::Part { address, bytes: &code };
    let parts = elf::apart(vec![part(0x2000), part(0x1000), part(0x1004), part(u64::MAX)], 20);

    assert_eq!(vec![0x1000, 0x2000], parts.iter().map(|part| part.address).collect::<Vec<_>>());
    assert_eq!(1, elf::apart(vec![part(0x2000), part(0x1000)], 13).len());
}

#[test]
fn a_file_cut_anywhere_makes_no_panic() {
    let whole = read(GLIBC[1]);
    for end in (0..2000).chain((2000..whole.len()).step_by(9973)) {
        let _ = Sites::of_elf(&whole[..end]);
    }
}

proptest::proptest! {
    #[test]
    fn any_code_makes_no_panic(code in proptest::collection::vec(proptest::num::u8::ANY, 0..400), arm: bool) {
        let code = [&code[..], &[0x0f, 5, 0, 0], &0xd400_0001_u32.to_le_bytes()].concat();
        let _ = Sites::of_elf(&made(if arm { 183 } else { 62 }, &code));
    }
    /// Pieces that lead to each other, behind prefixes and over symbols.
    #[test]
    fn a_part_of_any_code_gives_the_sites_and_numbers_of_all(
        pieces in proptest::collection::vec((0..24_u8, proptest::num::u8::ANY), 1..120),
        symbols in proptest::collection::btree_set(0x1000..0x1200_u64, 0..12),
        gap in 0..4_u64,
    ) {
        let mut code = Vec::new();
        for (kind, byte) in pieces {
            // Near distances as four bytes.
            let far = (i32::from(byte as i8)).to_le_bytes();
            match kind {
                0..4 => code.extend([0x0f, 5]),
                4 | 5 => code.extend([0xb8, byte, 0, 0, 0]),
                6 => code.extend([0xbf, byte, 0, 0, 0, 0x89, 0xf8]),
                7 => code.extend([0xeb, byte]),
                8 => code.extend([0x70 | byte & 15, byte]),
                9 => code.extend([0xe0 | byte & 3, byte]),
                10 => code.extend([&[0xe8], &far[..]].concat()),
                11 => code.extend([&[0xe9], &far[..]].concat()),
                12 => code.extend([&[0x0f, 0x80 | byte & 15], &far[..]].concat()),
                13 => code.extend([&[0xc7, 0xf8], &far[..]].concat()),
                14 => code.extend([&[0x66, 0xc7, 0xf8], &far[..2]].concat()),
                15..18 => code.push([0x66, 0xf2, 0xf3, 0x67, 0x48, 0x2e, 0x3e, 0x64][usize::from(byte & 7)]),
                18 => code.push(0xc3),
                19 => code.extend([0x50, 0x58]),
                _ => code.push(byte),
            }
        }
        // Two parts, of which jumps lead from one to the other.
        let (one, other) = code.split_at(code.len() / 2);
        let parts = vec![
            elf::Part { address: 0x1000, bytes: one },
            elf::Part { address: 0x1000 + one.len() as u64 + gap, bytes: other },
        ];
        let parts = elf::apart(parts, code.len());
        let symbols: Vec<u64> =
            symbols.into_iter().filter(|symbol| elf::Part::holding(&parts, *symbol).is_some()).collect();
        let image =
            elf::Image { machine: Machine::X86_64, build_id: None, parts, symbols, open_entries: Vec::new() };
        compare_with_all_code::<x86_64::Decoded>(&image);
    }

    #[test]
    fn a_part_of_any_code_of_aarch64_gives_the_sites_and_numbers_of_all(
        pieces in proptest::collection::vec((0..8_u8, -20..20_i32), 1..120),
        symbols in proptest::collection::btree_set(0x1000..0x1200_u64, 0..12),
    ) {
        let code: Vec<u8> = pieces.into_iter().flat_map(|(kind, by)| {
            let by = by as u32;
            (match kind {
                0 | 1 => 0xd400_0001,
                2 => 0xd280_0008 | (by & 31) << 5,
                3 => 0x1400_0000 | by & 0x3ff_ffff,
                4 => 0x9400_0000 | by & 0x3ff_ffff,
                5 => 0x5400_0000 | (by & 0x7_ffff) << 5,
                6 => 0x3600_0000 | (by & 0x3fff) << 5,
                _ => 0xaa01_03e8,
            }).to_le_bytes()
        }).collect();
        let parts = vec![elf::Part { address: 0x1000, bytes: &code }];
        let symbols: Vec<u64> =
            symbols.into_iter().filter(|symbol| elf::Part::holding(&parts, *symbol).is_some()).collect();
        let image =
            elf::Image { machine: Machine::Aarch64, build_id: None, parts, symbols, open_entries: Vec::new() };
        compare_with_all_code::<aarch64::Decoded>(&image);
    }
}
