//! Trains a small network on a folder with one folder of images a person.
//!
//!     cargo run --release --example train_on_a_folder -- my-faces
//!
//! Without a folder, one of drawn faces is written first. What stands in the table is what a config file says;
//! `facegrad explain` lists the keys.

use std::{error::Error, path::PathBuf};

use facegrad::{
    Backend, Event, Experiment, Trainer, choose,
    pictures::ImageFormat,
    settings::toml::Table,
    synthetic::{SyntheticConfig, write_folder},
};

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let faces = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let drawn = SyntheticConfig { identities: 60, images: 10, size: 48, ..Default::default() };
            let folder = temporary.path().join("faces");
            write_folder(&drawn, ImageFormat::Jpeg, &folder, &mut |_done, _total| {})?;
            folder
        }
    };
    let config: Table = r#"
        run = { name = "example", epochs = 2, batch = 32 }
        data = { size = [48, 48], train = { kind = "folder" } }
        backbone = { kind = "nano" }
        head = { kind = "cosface", scale = 32.0 }
        augmentation = { flip = 0.5 }
    "#
    .parse()?;
    let runs = format!("run.folder={}", temporary.path().display()).parse()?;
    let faces = format!("data.train.path={}", faces.display()).parse()?;
    let (experiment, _left_out) = Experiment::resolve(config, &[runs, faces])?;

    let chosen = choose(Backend::built_in()[0], None)?;
    let trainer = Trainer::new(experiment, chosen, "the example train_on_a_folder".into())?;
    let outcome = trainer.run(&Default::default(), &mut |event| match event {
        Event::Started(started) => println!("{}: {}", started.folder.display(), started.preflight.data),
        Event::Step(line) => println!("step {}: loss {:.3}", line.step, line.loss),
        _ => {}
    })?;
    println!("{} steps in {:.0} s", outcome.step, outcome.seconds);
    Ok(())
}
