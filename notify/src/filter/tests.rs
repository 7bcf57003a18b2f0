//! The filter, run by the interpreter: each call of the table from each kind of address, and at random
//! against [`asks`].

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::abi::Abi;
use crate::interpreter::{Interpreter, Run};
use crate::judgement::{Data, asks};

const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

/// Where libraries are mapped, by machine, as seen in processes.
fn library(machine: Machine) -> u64 {
    match machine {
        Machine::X86_64 => 0x7f12_3456_7000,
        Machine::Aarch64 => 0xffff_8012_3000,
    }
}

/// The real libcs of both machines: glibc with its loader, and musl.
static LIBCS: LazyLock<Vec<Sites>> = LazyLock::new(|| {
    let paths = [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-musl/libc.so",
        "/usr/aarch64-linux-gnu/lib/libc.so.6",
        "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1",
    ];
    paths.iter().map(|path| Sites::of_elf(&std::fs::read(path).expect(path)).expect(path)).collect()
});

fn libcs() -> Vec<&'static Sites> {
    LIBCS.iter().collect()
}

fn filter(level: Level, machine: Machine) -> Filter {
    Filter::new(level, machine, &libcs()).unwrap()
}

fn run(filter: &Filter, data: &Data) -> Run {
    Interpreter::new(filter.instructions()).unwrap().run(data)
}

/// Arguments that a condition holds for.
fn holding(when: When) -> [u64; 6] {
    let (index, value) = match when {
        When::Always => return [0; 6],
        // O_WRONLY; CLONE_NEWUSER; the lowest bit of the upper half of a pointer.
        When::OpenWrites(index) => (index, 1),
        When::Executable(index) => (index, 4),
        When::NamespaceFlags(index) => (index, 0x1000_0000),
        When::HasAddress(index) => (index, 1 << 32),
        When::NoneOf(index, values) => (index, u64::from(values[0]) + 1),
        When::OneOf(index, values) => (index, u64::from(values[0])),
    };
    let mut args = [0; 6];
    args[usize::from(index)] = value;
    args
}

/// Arguments that a condition does not hold for, if there are such.
fn failing(when: When) -> Option<[u64; 6]> {
    let mut args = [0; 6];
    match when {
        When::Always => return None,
        When::NoneOf(index, values) => args[usize::from(index)] = u64::from(values[0]),
        // No flags, no pointer, no number.
        _ => {}
    }
    Some(args)
}

#[test]
fn off_allows_all_in_two_instructions() {
    let filter = filter(Level::Off, Machine::X86_64);

    assert_eq!(2, filter.instructions().len());
    assert_eq!(ALLOW, run(&filter, &Data { nr: 59, arch: 0xc000_003e, ..Data::default() }).action);
}

/// Each call of the table at each level: from libc's sites, from beside them, from the program, with
/// arguments of both kinds, and by foreign conventions.
#[test]
fn each_call_is_asked_about_from_where_and_when_its_row_says() {
    let mut sites_tried = 0;
    for machine in MACHINES {
        for level in Level::ALL {
            let filter = filter(level, machine);
            for call in CALLS {
                let is_listed = call.level <= level;
                let when = call.when_at(level);
                let verdict = |is_asked: bool| if is_asked && is_listed { NOTIFY } else { ALLOW };
                let what = |place| format!("{} {machine:?} {level} {place}", call.name);
                if let Some(nr) = call.number(machine.native()) {
                    let data = |instruction_pointer, args| Data {
                        nr,
                        arch: machine.native().audit_arch(),
                        instruction_pointer,
                        args,
                    };
                    let offsets = offsets(
                        &libcs().into_iter().filter(|s| s.machine == machine).collect::<Vec<_>>(),
                        nr,
                    );
                    for offset in &offsets {
                        sites_tried += 1;
                        let site = library(machine) + u64::from(*offset);
                        let from_libc = run(&filter, &data(site, holding(when))).action;
                        assert_eq!(verdict(call.from == From::Anywhere), from_libc, "{}", what("site"));
                        if !offsets.contains(&(offset + 1)) {
                            let beside = run(&filter, &data(site + 1, holding(when))).action;
                            assert_eq!(verdict(true), beside, "{}", what("one byte behind"));
                        }
                        for base in [0, 0x40_0000, 0x5555_5555_4000] {
                            let program =
                                run(&filter, &data(base + u64::from(*offset), holding(when))).action;
                            assert_eq!(verdict(true), program, "{}", what("the program"));
                        }
                    }
                    assert_eq!(
                        verdict(true),
                        run(&filter, &data(0x40_1000, holding(when))).action,
                        "{}",
                        what("low")
                    );
                    if let Some(args) = failing(when) {
                        assert_eq!(
                            ALLOW,
                            run(&filter, &data(0x40_1000, args)).action,
                            "{}",
                            what("arguments")
                        );
                    }
                }
                for abi in machine.foreign() {
                    for nr in numbers(call, *abi) {
                        let arch = abi.audit_arch();
                        for instruction_pointer in [0x40_1000, library(machine)] {
                            let data = Data { nr, arch, instruction_pointer, args: holding(when) };
                            assert_eq!(
                                verdict(true),
                                run(&filter, &data).action,
                                "{} {abi:?}",
                                what("foreign")
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(sites_tried > 1000, "{sites_tried}");
}

/// Calls that libc makes for itself too are asked about at its sites, and pass at the sensor's; all others
/// pass at both.
#[test]
fn libcs_calls_are_asked_about_by_choice_where_it_makes_them_for_itself() {
    let mut asked = 0;
    for machine in MACHINES {
        let native = machine.native();
        let numbers = CALLS.iter().filter_map(|call| call.number(native)).map(|number| (number, vec![7]));
        let sensor = Sites::made(machine, numbers);
        for level in [Level::Full, Level::Lookups] {
            let filter = Filter::telling_libc(level, machine, &[&sensor], &libcs()).unwrap();
            println!("{machine:?} {level}: {} instructions", filter.instructions().len());
            assert!(filter.instructions().len() <= 2000);
            for call in CALLS.iter().filter(|call| call.level <= level && call.from != From::Anywhere) {
                let Some(nr) = call.number(native) else { continue };
                let of_libc = offsets(&own_of(machine, &libcs()), nr).into_iter().filter(|at| *at != 7);
                let verdict = |offset: u32| {
                    let instruction_pointer = library(machine) + u64::from(offset);
                    let args = holding(call.when_at(level));
                    run(&filter, &Data { nr, arch: native.audit_arch(), instruction_pointer, args }).action
                };
                assert_eq!(ALLOW, verdict(7), "{} {machine:?} {level}", call.name);
                for offset in of_libc {
                    let expected = if call.from == From::LibcByChoice { NOTIFY } else { ALLOW };
                    assert_eq!(expected, verdict(offset), "{} {machine:?} {level}", call.name);
                    asked += usize::from(expected == NOTIFY);
                }
            }
        }
    }
    assert!(asked > 300, "{asked}");
}

#[test]
fn opens_that_only_read_are_asked_about_at_full_alone() {
    for (level, action) in [(Level::Security, ALLOW), (Level::Full, NOTIFY)] {
        let data = Data { nr: 257, arch: 0xc000_003e, instruction_pointer: 0x40_1000, args: [0; 6] };

        assert_eq!(action, run(&filter(level, Machine::X86_64), &data).action, "{level}");
    }
}

#[test]
fn a_call_of_another_machines_convention_is_allowed() {
    let data = Data { nr: 221, arch: Abi::Aarch64.audit_arch(), ..Data::default() };

    assert_eq!(ALLOW, run(&filter(Level::Full, Machine::X86_64), &data).action);
}

/// The kernel keeps a bitmap of the numbers that a filter allows by number and convention alone. It finds
/// them with these codes only (`seccomp_is_const_allow` in kernel/seccomp.c).
#[test]
fn a_number_that_is_not_listed_is_allowed_by_number_and_convention_alone() {
    const KNOWN: [u16; 7] = [
        block::LOAD,
        block::AND,
        block::JUMP,
        block::IF_EQUAL,
        block::IF_AT_LEAST,
        block::IF_ANY_BIT,
        block::RETURN,
    ];
    for machine in MACHINES {
        for level in Level::ALL {
            let filter = filter(level, machine);
            assert!(filter.instructions().iter().all(|instruction| KNOWN.contains(&instruction.code)));
            for abi in [machine.native()].iter().chain(machine.foreign()) {
                let listed: Vec<u32> = CALLS
                    .iter()
                    .filter(|call| call.level <= level)
                    .flat_map(|call| {
                        machine
                            .foreign()
                            .iter()
                            .chain([&machine.native()])
                            .filter(|other| other.audit_arch() == abi.audit_arch())
                            .flat_map(|abi| numbers(call, *abi))
                            .collect::<Vec<_>>()
                    })
                    .collect();
                for nr in (0..1000).filter(|nr| !listed.contains(nr)) {
                    let run = run(&filter, &Data { nr, arch: abi.audit_arch(), ..Data::default() });
                    assert_eq!(ALLOW, run.action, "{machine:?} {level} {nr}");
                    assert_eq!(0, run.loaded & !0b11, "{machine:?} {level} {nr}");
                    assert!(run.steps <= 16, "{} steps", run.steps);
                }
            }
        }
    }
}

#[test]
fn a_listed_call_from_libc_takes_few_instructions() {
    let data = |nr, offset| Data {
        nr,
        arch: 0xc000_003e,
        instruction_pointer: library(Machine::X86_64) + offset,
        args: [0, 0, 1, 0, 0, 0],
    };
    let filter = filter(Level::Full, Machine::X86_64);
    for nr in [2, 257, 42, 82] {
        for offset in offsets(&libcs(), nr) {
            let run = run(&filter, &data(nr, u64::from(offset)));
            assert!(run.steps <= 40, "{nr}: {} steps", run.steps);
        }
    }
}

#[test]
fn filters_for_real_libcs_are_far_from_the_kernels_bound() {
    for machine in MACHINES {
        for level in Level::ALL {
            let length = filter(level, machine).instructions().len();
            println!("{machine:?} {level}: {length} instructions");
            assert!(length <= 2000, "{machine:?} {level}: {length}");
        }
    }
}

#[test]
fn a_filter_that_is_too_long_says_so_and_what_to_do() {
    let many: Vec<Sites> = (0..20)
        .map(|libc| {
            let numbers = CALLS.iter().filter_map(|call| call.x86_64);
            Sites::made(Machine::X86_64, numbers.map(|number| (number, vec![libc * 7, libc * 11 + 2000])))
        })
        .collect();
    let error = Filter::new(Level::Full, Machine::X86_64, &many.iter().collect::<Vec<_>>()).unwrap_err();

    assert_eq!(20, error.libcs);
    assert!(error.instructions > 4096, "{error:?}");
    assert!(
        error.to_string().ends_with("leave out libcs that the program does not load, or give a lower level")
    );
}

#[test]
fn sites_of_another_machine_count_for_nothing() {
    let sites = Sites::made(Machine::Aarch64, [(257, vec![0])]);

    assert_eq!(
        Filter::new(Level::Full, Machine::X86_64, &[]),
        Filter::new(Level::Full, Machine::X86_64, &[&sites])
    );
}

/// A number of some row in some convention, one beside it, or any.
fn some_number() -> impl Strategy<Value = u32> {
    let listed: Vec<u32> = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm]
        .into_iter()
        .flat_map(|abi| CALLS.iter().flat_map(move |call| numbers(call, abi)))
        .collect();
    prop_oneof![
        8 => (proptest::sample::select(listed), -1_i32..=1).prop_map(|(nr, by)| nr.wrapping_add_signed(by)),
        1 => any::<u32>(),
    ]
}

fn some_arch() -> impl Strategy<Value = u32> {
    let known = [Abi::X86_64, Abi::I386, Abi::Aarch64, Abi::Arm].map(Abi::audit_arch).to_vec();
    prop_oneof![8 => proptest::sample::select(known), 1 => any::<u32>()]
}

/// An address in a library, in a program, at a bound, or any.
fn some_page() -> impl Strategy<Value = u64> {
    let pages = vec![
        0x7f12_3456_7000,
        0xffff_8012_3000,
        0x40_0000,
        0x5555_5555_4000,
        0x6666_ffff_f000,
        0x6667_0000_0000,
        0x7fff_ffff_f000,
        0x8000_0000_0000,
        0xcccd_0000_0000,
        0xcccc_ffff_f000,
        0x67_0000_0000,
        0x66_ffff_f000,
        0x80_0000_0000,
        0x334_0000_0000,
        0x400_0000_0000,
    ];
    prop_oneof![8 => proptest::sample::select(pages), 1 => any::<u64>().prop_map(|any| any & !0xfff)]
}

fn some_argument() -> impl Strategy<Value = u64> {
    let values =
        vec![0, 1, 2, 3, 4, 5, 11, 16, 18, 20, 23, 0x40, 0x200, 0x2_0000, 0x4000_0000, 1 << 32, u64::MAX];
    prop_oneof![4 => proptest::sample::select(values), 1 => any::<u64>()]
}

prop_compose! {
    fn some_data()(
        nr in some_number(), arch in some_arch(), page in some_page(), offset in 0_u64..4096,
        args in proptest::array::uniform6(some_argument()),
    ) -> Data {
        Data { nr, arch, instruction_pointer: page | offset, args }
    }
}

/// Sites at few offsets, so that they are met by chance, for many numbers.
fn some_sites() -> impl Strategy<Value = Sites> {
    let numbers: Vec<u32> = CALLS.iter().flat_map(|call| [call.x86_64, call.aarch64]).flatten().collect();
    let by_number = proptest::collection::vec(
        (proptest::sample::select(numbers), proptest::collection::vec(0_u16..64, 0..20)),
        0..40,
    );
    (by_number, proptest::sample::select(MACHINES.to_vec()))
        .prop_map(|(by_number, machine)| Sites::made(machine, by_number))
}

proptest! {
    #[test]
    fn the_filter_decides_what_plain_rust_decides(
        level in proptest::sample::select(Level::ALL.to_vec()),
        machine in proptest::sample::select(MACHINES.to_vec()),
        sites in proptest::collection::vec(some_sites(), 0..4),
        all in proptest::collection::vec((some_data(), 0_u64..64), 200),
    ) {
        let sites: Vec<&Sites> = sites.iter().collect();
        // All pass, or the first is the sensor's and libc's own calls are told.
        let (sensor, libcs) = sites.split_at(sites.len().min(1));
        for (filter, by_choice) in [
            (Filter::new(level, machine, &sites), sites.as_slice()),
            (Filter::telling_libc(level, machine, sensor, libcs), sensor),
        ] {
            let Ok(filter) = filter else { continue };
            let interpreter = Interpreter::new(filter.instructions()).unwrap();
            for (data, near) in &all {
                let near = Data { instruction_pointer: data.instruction_pointer & !0xfff | near, ..*data };
                for data in [*data, near] {
                    let call = calls::call(machine, data.arch, data.nr);
                    let is_by_choice = call.is_some_and(|call| call.from == From::LibcByChoice);
                    let passing = if is_by_choice { by_choice } else { &sites };
                    let expected = if asks(level, machine, passing, &data) { NOTIFY } else { ALLOW };
                    prop_assert_eq!(expected, interpreter.run(&data).action, "{:x?}", data);
                }
            }
        }
    }

    #[test]
    fn the_filter_of_real_libcs_decides_what_plain_rust_decides(
        level in proptest::sample::select(Level::ALL.to_vec()),
        machine in proptest::sample::select(MACHINES.to_vec()),
        all in proptest::collection::vec(some_data(), 200),
        chosen in any::<proptest::sample::Index>(),
    ) {
        let filter = filter(level, machine);
        let interpreter = Interpreter::new(filter.instructions()).unwrap();
        for data in all {
            // At a real site of the call, if it has one.
            let own = offsets(&libcs().into_iter().filter(|sites| sites.machine == machine).collect::<Vec<_>>(), data.nr);
            let offset = if own.is_empty() { 0 } else { u64::from(own[chosen.index(own.len())]) };
            let at_site = Data { instruction_pointer: data.instruction_pointer & !0xfff | offset, ..data };
            for data in [data, at_site] {
                let expected = if asks(level, machine, &libcs(), &data) { NOTIFY } else { ALLOW };
                prop_assert_eq!(expected, interpreter.run(&data).action, "{:x?}", data);
            }
        }
    }
}
