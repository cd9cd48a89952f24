//! `facegrad bench ops`.

use facegrad_bench::operators::{Family, MachineLimits, OperatorTiming, time_operators};
use facegrad_report::{OperatorFamily, OperatorPoint};
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use super::{
    OpsArgs, backbone, in_words,
    output::{Facts, billions, percent, processor},
    seconds,
};
use crate::{
    failure::{Failure, write_file},
    plot::check_file,
};

pub fn run(args: OpsArgs) -> Result<(), Failure> {
    let (images, time) = (args.common.apply()?, seconds(args.seconds)?);
    let backbone = backbone(&args.backbone, images.size)?;
    args.plot.as_deref().map_or(Ok(()), |file| check_file("--plot", file))?;
    let roofline = MachineLimits::measure();
    let timings = time_operators(&backbone, images, time)?;
    let step: f64 = timings.iter().map(|timing| timing.total).sum();
    let speed = images.batch as f64 / step;

    let mut facts = Facts::new("ops", images, Some(&backbone));
    facts.add("peak_gflops", roofline.operations / 1e9);
    facts.add("peak_gigabytes_per_second", roofline.bytes / 1e9);
    facts.add("step_ms", step * 1e3);
    facts.add("images_per_second", speed);
    facts.add("operators", timings.iter().map(|timing| operator_json(timing, &roofline)).collect::<Value>());
    facts.line("threads", processor());
    facts.line(
        "peak",
        format!("{} GFLOP/s, {} GB/s", billions(roofline.operations), billions(roofline.bytes)),
    );
    facts.line("in all", format!("{:.1} ms a training step, {speed:.2} images/s", step * 1e3));
    let right = Align::Right;
    let mut table = TextTable::new(&[Align::Left, right, right, right, right, right, right]);
    table.row(["operator", "times", "ms each", "share", "GFLOP/s", "GB/s", "of roofline"]);
    for timing in &timings {
        table.row(cells(timing, &roofline, step));
    }
    facts.table(table);
    facts.print(args.common.json)?;
    let Some(file) = &args.plot else { return Ok(()) };
    let [height, width] = images.size;
    let picture = facegrad_report::roofline(&facegrad_report::Roofline {
        title: format!("{}, batch {}, {}", in_words(&backbone), images.batch, processor()),
        operations_per_second: roofline.operations,
        bytes_per_second: roofline.bytes,
        families: families(&timings),
        notes: format!(
            "Images of {height}x{width} pixels. Operations are those of the direct convolution; Winograd's algorithm \
             needs fewer, so its points may lie above the matrix product. Operators on maps that stay in the caches \
             may lie above the memory. The operations of joins and transforms, 1 to 12 an element, are estimated."
        ),
    });
    write_file(file, picture.to_svg().as_bytes())
}

fn operator_json(timing: &OperatorTiming, roofline: &MachineLimits) -> Value {
    let seconds = timing.seconds();
    json!({
        "name": timing.name,
        "count": timing.count,
        "ms": seconds * 1e3,
        "gflops": timing.work.operations as f64 / seconds / 1e9,
        "gigabytes_per_second": timing.work.bytes as f64 / seconds / 1e9,
        "share_of_peak": timing.work.operations as f64 / seconds / roofline.operations,
        "share_of_roofline": roofline.bound(timing.work) / seconds,
    })
}

fn cells(timing: &OperatorTiming, roofline: &MachineLimits, step: f64) -> [String; 7] {
    let rate = |amount: u64| match amount {
        0 => String::new(),
        amount => billions(amount as f64 / timing.seconds()),
    };
    [
        timing.name.clone(),
        timing.count.to_string(),
        format!("{:.3}", timing.seconds() * 1e3),
        percent(timing.total / step),
        rate(timing.work.operations),
        rate(timing.work.bytes),
        percent(roofline.bound(timing.work) / timing.seconds()),
    ]
}

/// The points by family; all families are there, so that each keeps its marker in every picture.
fn families(timings: &[OperatorTiming]) -> Vec<OperatorFamily> {
    let point = |timing: &OperatorTiming| OperatorPoint {
        name: timing.name.clone(),
        is_backward: timing.is_backward,
        intensity: timing.intensity(),
        operations_per_second: timing.estimate / timing.total,
    };
    let points = |family| timings.iter().filter(move |timing| timing.family == family).map(point).collect();
    Family::ALL.map(|family| OperatorFamily { name: name(family).into(), points: points(family) }).into()
}

fn name(family: Family) -> &'static str {
    match family {
        // No network here has dense filters of another size, or groups of many channels.
        Family::Winograd => "3x3, Winograd",
        Family::Direct => "3x3, direct",
        Family::Pointwise => "1x1",
        Family::Grouped => "depthwise",
        Family::Elementwise => "join, transform",
    }
}
