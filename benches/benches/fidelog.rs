//! Runs the rows that were asked for and prints the table. Also the program of every floor's server process and
//! of every broker.

use std::process::ExitCode;

use anyhow::{Context, Result};
use fidelog_benches::floor::child::Role;
use fidelog_benches::machine::Machine;
use fidelog_benches::product::broker::run_role;
use fidelog_benches::product::figure::MEASUREMENTS;
use fidelog_benches::rows::rows;
use fidelog_benches::scratch::Scratch;
use fidelog_benches::settings::Settings;
use fidelog_benches::table;

fn main() -> Result<ExitCode> {
    if let Some(code) = run_role(std::env::args_os()) {
        return Ok(code);
    }
    if let Some(role) = Role::among(std::env::args())? {
        return role.serve().map(|()| ExitCode::SUCCESS);
    }
    let settings = Settings::read()?;
    let scratch = Scratch::below(settings.dir.as_deref())?;
    let machine = Machine::of(scratch.path());
    let (seconds, repetitions) = (settings.time.as_secs_f64(), settings.repetitions);
    println!("{}", machine.line());
    println!("medians of {repetitions} repetitions of {seconds} s; ratio = fidelog / floor\n");
    println!("{}", table::head());
    for row in rows().iter().filter(|row| settings.wants(row.section, row.name)) {
        let dir = scratch.for_row()?;
        let outcome = row.run(&settings, dir.path())?;
        println!("{}", table::lines(&outcome));
        if let Some(path) = &settings.json {
            table::append_json(path, &machine, &outcome)?;
        }
    }
    for measurement in MEASUREMENTS.iter().filter(|it| settings.wants(it.section, it.name)) {
        let dir = scratch.for_row()?;
        let figures = (measurement.measure)(dir.path()).context(measurement.name)?;
        figures.iter().for_each(|figure| println!("{figure}"));
    }
    Ok(ExitCode::SUCCESS)
}
