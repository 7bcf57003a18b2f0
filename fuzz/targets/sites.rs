//! An ELF file that is scanned for its system calls, and the filter that is made from them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use notify::{ALLOW, Data, Filter, Interpreter, Level, NOTIFY, Sites, asks};

fuzz_target!(|bytes: &[u8]| {
    let Ok(sites) = Sites::of_elf(bytes) else { return };
    assert!(sites.unresolved() <= sites.addresses().len());
    for number in sites.numbers() {
        for offset in sites.page_offsets(number) {
            assert!(sites.addresses().iter().any(|behind| behind & 0xfff == u64::from(offset)));
        }
    }
    let Ok(filter) = Filter::new(Level::Full, sites.machine, &[&sites]) else { return };
    let interpreter = Interpreter::new(filter.instructions()).expect("the kernel takes the filter");
    for behind in sites.addresses().iter().take(16) {
        for number in sites.numbers().take(16) {
            let data = Data {
                nr: number,
                arch: sites.machine.native().audit_arch(),
                // In each machine's libraries.
                instruction_pointer: 0xffff_7f00_0000_0000 | behind,
                args: [1; 6],
            };
            let expected = if asks(Level::Full, sites.machine, &[&sites], &data) { NOTIFY } else { ALLOW };
            assert_eq!(expected, interpreter.run(&data).action);
        }
    }
});
