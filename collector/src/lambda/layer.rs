//! `glassbox lambda-layer`: reads a sensor and a collector, writes the layer's zip file.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use deploy::lambda::{self, Pair};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

use crate::settings::keys::extension_help;
use crate::settings::{self, EXTENSION_OUTPUT};
use crate::shell::failure::{Failure, say};
use crate::shell::files;
use crate::shell::sensor_path;

const SETTING_UP: &str = "\
In the function's configuration, besides the layer, one of:
  LD_PRELOAD=/opt/lib/libglassbox.so              every runtime, provided.* too
  AWS_LAMBDA_EXEC_WRAPPER=/opt/glassbox-wrapper   managed runtimes: only the runtime and what it starts

Read there by the extension:
";

const EXAMPLE: &str = "  GLASSBOX=off     no sensor, no collector

Example:
  dist/glassbox lambda-layer -o layer.zip
  aws lambda publish-layer-version --layer-name glassbox --zip-file fileb://layer.zip";

/// `glassbox lambda-layer`
#[derive(Args, Debug)]
#[command(after_help = [SETTING_UP, &extension_help(EXTENSION_OUTPUT), EXAMPLE].concat())]
pub struct Options {
    /// Where to write the zip file; '-' is stdout
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Take glassbox and libglassbox.so from DIR, as for another machine [default: this glassbox, and its
    /// sensor]
    #[arg(long, value_name = "DIR")]
    pair: Option<PathBuf>,
    /// Take a glassbox that is dynamically linked, which ends at once, and the function with it, where
    /// another libc is
    #[arg(long)]
    unportable: bool,
}

/// Writes the layer.
pub fn write(options: &Options) -> Result<(), Failure> {
    let is_stdout = options.output == Path::new("-");
    if is_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "a zip file is binary and would go to the terminal; give it a file: -o FILE",
        ));
    }
    let (cli, sensor) = match &options.pair {
        Some(dir) => (dir.join("glassbox"), dir.join("libglassbox.so")),
        None => {
            let cli = sensor_path::executable();
            let missing = || Failure::missing("cannot find this program's own file; give --pair its folder");
            (cli.ok_or_else(missing)?, sensor_path::find(settings::sensor()?)?)
        }
    };
    let (cli, sensor) = (Binary::read(&cli)?, Binary::read(&sensor)?);
    if cli.is_dynamic && !options.unportable {
        return Err(Failure::malformed(format!(
            "'{}' is linked to this machine's libc and would not start in Lambda; make a portable pair by 'cargo xtask \
             dist', or give --unportable",
            cli.path.display()
        )));
    }
    if cli.machine != sensor.machine {
        return Err(Failure::malformed(format!(
            "'{}' is for {} and '{}' for {}; give --pair a folder with both for one machine",
            cli.path.display(),
            cli.machine.0,
            sensor.path.display(),
            sensor.machine.0
        )));
    }
    let zip = lambda::layer(Pair { cli: &cli.bytes, sensor: &sensor.bytes })
        .map_err(|error| Failure::malformed(format!("cannot make a layer: {error}")))?;
    match is_stdout {
        true => std::io::stdout().write_all(&zip).map_err(|error| {
            Failure::output(format!("cannot write to stdout: {error}; send it elsewhere"))
        })?,
        false => files::replace(&options.output, &zip)?,
    }
    let (name, lambdas_name) = cli.machine;
    say(&format!(
        "a layer of {} bytes for {name}; publish it with --compatible-architectures {lambdas_name}",
        zip.len()
    ));
    Ok(())
}

/// A program or library for a machine that Lambda has.
struct Binary {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The machine's name in Rust and in Lambda.
    machine: (&'static str, &'static str),
    /// It names a loader, so it runs only where that loader is.
    is_dynamic: bool,
}

impl Binary {
    fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = fs::read(path).map_err(|error| {
            Failure::missing(format!(
                "cannot read '{}': {error}; give --pair a folder with the pair",
                path.display()
            ))
        })?;
        let foreign = |why: &str| {
            Failure::malformed(format!(
                "'{}' {why}; give --pair a folder with a pair of glassbox",
                path.display()
            ))
        };
        let file = ElfFile64::<object::Endianness>::parse(&*bytes)
            .map_err(|_| foreign("is no program or library of 64 bits"))?;
        let endian = file.endian();
        let machine = match file.elf_header().e_machine(endian) {
            elf::EM_X86_64 => ("x86_64", "x86_64"),
            elf::EM_AARCH64 => ("aarch64", "arm64"),
            _ => return Err(foreign("is for a machine that Lambda does not have")),
        };
        let is_dynamic =
            file.elf_program_headers().iter().any(|header| header.p_type(endian) == elf::PT_INTERP);
        Ok(Self { path: path.to_owned(), bytes, machine, is_dynamic })
    }
}
