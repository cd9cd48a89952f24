//! Pages with every section, made up of formulas: no number here was measured.

use facegrad_report::{
    AuditReport, AuditSection, BarChart, CaptionedImage, DataHash, EmbeddingMap, Entry, Estimate, EstimateAt,
    EvaluationReport, Fold, ImageGroup, ImagePair, MapClass, Measured, ModelCard, ModelIdentification,
    ModelVerification, PairedDifference, ProtocolResults, RankRate, ScoreCounts, Table, Threshold, Thumbnail,
};

/// What no page may take for markup.
pub const HOSTILE: &str = "<script>hacked = 1</script> & \"x\" onerror=\"hacked = 2\" 'y' </svg></style> \
    javascript:hacked=3 <img src=x onerror=hacked=4> url(https://example.com/a) \u{0}\u{7}";

/// Names and texts of a page.
pub struct Words {
    pub models: [String; 2],
    pub text: Box<dyn Fn(&str) -> String>,
}

/// What a person would see.
pub fn realistic() -> EvaluationReport {
    let models = ["iresnet50 cosface".into(), "nano softmax".into()];
    report(&Words { models, text: Box::new(str::to_owned) })
}

/// The same, each text followed by markup and letters of every width without a place to break.
pub fn hostile() -> EvaluationReport {
    let long = |c: char| c.to_string().repeat(300);
    let models = [format!("{}{HOSTILE}", long('W')), format!("{HOSTILE}{}", long('語'))];
    let tail = format!("{HOSTILE} {}{}", long('m'), "/very/long/path".repeat(20));
    report(&Words { models, text: Box::new(move |text| format!("{text} {tail}")) })
}

/// How many images [`audit`] has.
pub const AUDIT_IMAGES: usize = 6 * 2 + 14 + 3;

/// An audit; `hostile` adds to each text what [`hostile`] does.
pub fn audit(hostile: bool) -> AuditReport {
    let tail = format!(" {HOSTILE} {}{}", "W".repeat(300), "/very/long/path".repeat(20));
    let text = |text: &str| if hostile { format!("{text}{tail}") } else { text.to_owned() };
    let group = |images: usize| ImageGroup {
        caption: text("images of Ann_Lee"),
        images: (0..images)
            .map(|i| CaptionedImage {
                thumbnail: face(i),
                caption: text(&format!("Ann_Lee/{i:04}.jpg: difference 2.{i}")),
            })
            .collect(),
    };
    let section = |title: &str, groups: Vec<ImageGroup>| AuditSection {
        title: text(title),
        note: text("The same photograph, changed a little."),
        groups,
        ..Default::default()
    };
    let bars = [("1", 12), ("2–3", 40), ("4–7", 120), ("8–15", 3), ("16–31", 0), ("32–63", 9)];
    let bars = bars.map(|(name, count)| (text(name), count)).to_vec();
    let table = |title: &str| Table {
        title: text(title),
        header: vec![text("image"), text("reason")],
        rows: vec![vec![text("Ann_Lee/0003.jpg"), text("the JPEG data ends early")]; 3],
        note: text("The first 3 of 9 are shown."),
    };
    AuditReport {
        title: text("Audit of faces"),
        facts: vec![text("312 images of 20 identities"), text("against LFW")],
        warnings: vec![text("What embeddings say of labels is likely, not certain.")],
        overview: vec![Entry::new(text("images"), text("312 images of 20 identities"))],
        sections: vec![
            AuditSection {
                title: text("Images of an identity"),
                charts: vec![BarChart {
                    title: text("Identities by their images"),
                    x_label: text("images"),
                    y_label: text("identities"),
                    bars,
                }],
                tables: vec![table("Unreadable images"), table("Wrong size")],
                ..Default::default()
            },
            section("One photograph under several identities", (0..6).map(|_| group(2)).collect()),
            section("Near duplicates", vec![group(14), group(3)]),
        ],
        run: vec![Entry::new(text("set"), "5f1c".repeat(16))],
        command: text("facegrad data audit faces --report audit.html"),
    }
}

fn report(words: &Words) -> EvaluationReport {
    let text = &words.text;
    let switches = |flip: &str| {
        let entries = [
            ("flip fusion", flip),
            ("score", "cosine"),
            ("mean removal", "none"),
            ("whitening", "none"),
            ("folds", "10, of the list"),
            ("threshold from", "best on the other folds"),
            ("detection cost", "prior 0.01, costs 1 and 1"),
            ("numbers", "exact thresholds (no compatibility mode)"),
        ];
        entries.map(|(name, value)| Entry::new(text(name), text(value))).to_vec()
    };
    let verification =
        |model: usize, pairs: u64, flip: &str| verification(words, model, pairs, switches(flip));
    let trial = |i: i32| {
        let rate = |base: f64| format!("{:.2} %", base + 0.4 * f64::from(i * 7 % 5));
        vec![i.to_string(), rate(88.1), rate(61.7), rate(71.3), rate(40.2)]
    };
    let trials = Table {
        title: text("BLUFR: ten trials"),
        header: ["trial", "VR at FAR 0.1 %, iresnet50", "DIR at FAR 1 %, iresnet50", "VR, nano", "DIR, nano"]
            .map(text)
            .into(),
        rows: (1..=10).map(trial).collect(),
        note: text("VR: verification rate. DIR: detection and identification rate at rank 1."),
    };
    EvaluationReport {
        title: text("LFW: two models"),
        facts: ["2 models on 2 protocols", "finished in 41 s"].map(text).into(),
        warnings: vec![text("The training data of nano softmax holds 3 people of these lists.")],
        protocols: vec![
            ProtocolResults {
                name: text("LFW View 2"),
                about: text("3,000 genuine and 3,000 impostor pairs in 10 folds, disjoint by people"),
                verification: vec![verification(0, 3000, "add"), verification(1, 3000, "add")],
                ..ProtocolResults::default()
            },
            ProtocolResults {
                name: text("LFW BLUFR"),
                about: text("all pairs of the test images; 10 trials"),
                verification: vec![ModelVerification {
                    accuracy: Some(Err(text("not measurable: the protocol has no folds"))),
                    folds: Vec::new(),
                    false_accepts: Vec::new(),
                    false_rejects: Vec::new(),
                    ..verification(0, 2_500_000, "none")
                }],
                identification: vec![identification(words, 0), identification(words, 1)],
                tables: vec![trials],
            },
        ],
        differences: vec![PairedDifference {
            protocol: text("LFW View 2"),
            figure: text("accuracy"),
            a: words.models[0].clone(),
            b: words.models[1].clone(),
            difference: "+3.42 points".into(),
            interval: "2.61 to 4.23".into(),
            p_value: text("0.0003, paired t over 10 folds"),
            verdict: text("the first is better"),
        }],
        differences_note: text(
            "Folds share training pairs of thresholds, so p-values are a little too small.",
        ),
        maps: vec![map(words, "PCA", 0.0), map(words, "t-SNE", 1.0)],
        tables: Vec::new(),
        models: (0..2)
            .map(|model| ModelCard {
                model: words.models[model].clone(),
                entries: [
                    ("backbone", "iresnet50, 43,590,848 parameters"),
                    ("embedding", "512-d"),
                    ("trained on", "made-up faces, 10,572 people, 490,623 images"),
                    ("SHA-256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
                ]
                .map(|(name, value)| Entry::new(name, text(value)))
                .into(),
            })
            .collect(),
        data: vec![DataHash {
            name: text("pairs of LFW View 2"),
            sha256: text("ea5f4a4ff2cd1e0ae2a7f5a1b5f6c3e3a9d7b2bb0a4b3b7c9d10f4c5b6a79881"),
        }],
        run: [("version", "0.1.0"), ("backend", "flex, 2 threads"), ("seed", "1"), ("date", "2026-01-05")]
            .map(|(name, value)| Entry::new(text(name), text(value)))
            .into(),
        command: text(
            "facegrad eval runs/iresnet50-cosface/best runs/nano-softmax/best --protocol lfw-view2 \
             --protocol lfw-blufr --images data/lfw --report report.html",
        ),
    }
}

/// Means and deviation of the scores of each model: genuine mean, impostor mean, deviation of both.
const SCORES: [(f64, f64, f64); 2] = [(0.62, 0.02, 0.12), (0.48, 0.03, 0.13)];

fn verification(words: &Words, model: usize, pairs: u64, switches: Vec<Entry>) -> ModelVerification {
    let text = &words.text;
    let (genuine, impostor, deviation) = SCORES[model];
    let above = |mean: f64, threshold: f64| 1.0 - normal((threshold - mean) / deviation);
    let thresholds = (0..=1000).rev().map(|i| f64::from(i) / 500.0 - 1.0);
    let whole = |share: f64| (share * pairs as f64).floor() / pairs as f64;
    let mut roc: Vec<_> = thresholds.map(|t| (whole(above(impostor, t)), whole(above(genuine, t)))).collect();
    roc.push((1.0, 1.0));
    let tar = |far: f64| {
        let reached = roc.iter().filter(|point| point.0 <= far).map(|point| point.1).fold(0.0, f64::max);
        match far * pairs as f64 >= 1.0 {
            true => Ok(estimate(reached)),
            false => Err(text(&format!("not measurable: {pairs} impostor pairs, it takes {:.0}", 1.0 / far))),
        }
    };
    let counts = |mean: f64| {
        let share =
            |i: i32| above(mean, f64::from(i) / 50.0 - 1.0) - above(mean, f64::from(i + 1) / 50.0 - 1.0);
        (0..100).map(|i| (share(i) * pairs as f64).round() as u64).collect()
    };
    let accuracy = [0.9912, 0.9570][model];
    let fold = |i: i32| Fold {
        accuracy: accuracy + f64::from(i * 7 % 10 - 4) / 1500.0,
        threshold: 0.301 + f64::from(i * 3 % 5) / 500.0,
    };
    let pair = |i: usize| ImagePair {
        left: face(i * 2 + model),
        right: face(i * 3 + 7),
        score: 0.71 - i as f64 * 0.011,
        caption: text(&format!("George_W_Bush 0{:03} · Tony_Blair 0{:03}", i * 7 + 1, i * 5 + 2)),
    };
    let mut false_rejects: Vec<ImagePair> = (20..40).map(pair).collect();
    false_rejects[1].left.bytes = b"no image at all".to_vec();
    ModelVerification {
        model: words.models[model].clone(),
        switches,
        remarks: if model == 1 {
            vec![text("Three people are also in the training data.")]
        } else {
            Vec::new()
        },
        genuine: pairs,
        impostor: pairs,
        accuracy: Some(Ok(Estimate {
            deviation: Some(0.0034),
            standard_error: Some(0.0011),
            ..estimate(accuracy)
        })),
        auc: Some(Ok(Estimate { by_pairs: None, ..estimate([0.9987, 0.9921][model]) })),
        eer: Some(Ok(Estimate { by_pairs: None, ..estimate([0.0093, 0.0447][model]) })),
        min_dcf: Some(Ok(Estimate { by_pairs: None, by_people: None, ..estimate([0.0871, 0.3012][model]) })),
        tar_at_far: (1..=6)
            .map(|power| EstimateAt { rate: 0.1_f64.powi(power), reached: tar(0.1_f64.powi(power)) })
            .collect(),
        thresholds: [("best on the other folds", 0.304), ("FAR 1 %", 0.321), ("FAR 0.1 %", 0.402)]
            .map(|(name, value)| Threshold { name: text(name), value })
            .into(),
        roc,
        scores: ScoreCounts { range: (-1.0, 1.0), genuine: counts(genuine), impostor: counts(impostor) },
        folds: (0..10).map(fold).collect(),
        false_accepts: (0..20).map(pair).collect(),
        false_rejects,
    }
}

fn identification(words: &Words, model: usize) -> ModelIdentification {
    let text = &words.text;
    let found = |rank: f64| 1.0 - [0.08, 0.31][model] * rank.powf(-0.45);
    let open = |far: f64| (1.0 - [0.1, 0.4][model] * far.powf(-0.2)).max(0.0);
    let measured: Measured = Some(Ok(Estimate { by_pairs: None, by_people: None, ..estimate(found(1.2)) }));
    ModelIdentification {
        model: words.models[model].clone(),
        switches: vec![
            Entry::new(text("score"), text("cosine")),
            Entry::new(text("flip fusion"), text("none")),
        ],
        remarks: Vec::new(),
        mated: 4249,
        non_mated: 3000,
        ranks: [1, 5, 20].map(|rank| RankRate { rank, found: Ok(estimate(found(rank as f64))) }).into(),
        mean_average_precision: measured,
        fnir_at_fpir: vec![
            EstimateAt { rate: 0.1, reached: Ok(estimate(1.0 - open(0.1))) },
            EstimateAt { rate: 0.01, reached: Ok(estimate(1.0 - open(0.01))) },
            EstimateAt { rate: 1e-4, reached: Err(text("not measurable: 3,000 searches, it takes 10,000")) },
        ],
        cmc: (1..=100).map(|rank| (f64::from(rank), found(f64::from(rank)))).collect(),
        open_set: (1..=3000).map(|i| f64::from(i) / 3000.0).map(|far| (far, open(far))).collect(),
    }
}

fn estimate(value: f64) -> Estimate {
    let half = 1.96 * (value * (1.0 - value) / 3000.0).sqrt();
    Estimate {
        value,
        by_pairs: Some((value - half, (value + half).min(1.0))),
        by_people: Some((value - half * 1.6, (value + half * 1.5).min(1.0))),
        ..Estimate::default()
    }
}

fn map(words: &Words, title: &str, twist: f64) -> EmbeddingMap {
    let text = &words.text;
    let names = [
        "George W Bush",
        "Colin Powell",
        "Tony Blair",
        "Donald Rumsfeld",
        "Gerhard Schroeder",
        "Ariel Sharon",
        "Hugo Chavez",
        "Junichiro Koizumi",
        "Jean Chretien",
        "John Ashcroft",
        "Serena Williams",
        "Jacques Chirac",
        "Vladimir Putin",
        "Lleyton Hewitt",
    ];
    let class = |(i, name): (usize, &&str)| {
        let angle = i as f64 * 2.4 + twist;
        let radius = 1.5 + (i as f64).sqrt();
        let point = |j: i32| {
            let around = f64::from(j) * 2.39996;
            let spread = 0.13 * f64::from(j).sqrt();
            (radius * angle.cos() + spread * around.cos(), radius * angle.sin() + spread * around.sin())
        };
        MapClass { name: text(name), points: (0..25).map(point).collect() }
    };
    let labels =
        if title == "PCA" { ["component 1 (18 % of the variance)", "component 2 (11 %)"] } else { ["", ""] };
    EmbeddingMap {
        title: text(title),
        x_label: if labels[0].is_empty() { String::new() } else { text(labels[0]) },
        y_label: if labels[1].is_empty() { String::new() } else { text(labels[1]) },
        classes: names.iter().enumerate().map(class).collect(),
        note: text("Embeddings of iresnet50 cosface; of each person the first 25 images."),
    }
}

/// The share of the standard normal distribution below, after Abramowitz & Stegun 7.1.26.
fn normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs() / 2_f64.sqrt());
    let series = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * series * (-x * x / 2.0).exp();
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// A drawn face, as PNG.
fn face(number: usize) -> Thumbnail {
    const SIDE: usize = 40;
    let shade = |i: usize| [(70 + number * 37 % 150) as u8, (60 + number * 53 % 140) as u8, 90][i];
    let pixel = |x: usize, y: usize| {
        let (dx, dy) = (x as f64 - 19.5, y as f64 - 20.0);
        let is_eye = ((dx.abs() - 5.5).powi(2) + (dy + 4.0).powi(2)) < 4.0;
        let is_mouth = dx.abs() < 6.0 && (dy - 8.0 - dx * dx / 40.0).abs() < 1.2;
        let is_head = (dx / 13.0).powi(2) + (dy / 17.0).powi(2) < 1.0;
        match (is_eye || is_mouth, is_head) {
            (true, _) => [40, 32, 30],
            (_, true) => [(170 + number * 13 % 70) as u8, (130 + number * 7 % 60) as u8, 110],
            _ => [shade(0), shade(1), shade(2)],
        }
    };
    let mut raw = Vec::new();
    for y in 0..SIDE {
        raw.push(0);
        (0..SIDE).for_each(|x| raw.extend(pixel(x, y)));
    }
    Thumbnail { bytes: png(SIDE as u32, &raw), alt: format!("face {number}") }
}

/// A square RGB image as PNG, not compressed; each line of `raw` begins with its filter, 0.
fn png(side: u32, raw: &[u8]) -> Vec<u8> {
    let mut deflated = vec![0x78, 0x01, 1];
    let length = u16::try_from(raw.len()).expect("one block");
    deflated.extend(length.to_le_bytes());
    deflated.extend((!length).to_le_bytes());
    deflated.extend(raw);
    let (a, b) = raw.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    deflated.extend((b << 16 | a).to_be_bytes());

    let mut header = [side.to_be_bytes(), side.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", deflated), (b"IEND", Vec::new())] {
        let body = [kind.as_slice(), &data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&body);
        let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        let step = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc));
        file.extend((!body.iter().fold(u32::MAX, step)).to_be_bytes());
    }
    file
}
