//! Pages with every section, made up of formulas: no number here was measured.

use facegrad_report::{
    Block, CaptionedImage, Drawing, ImageGroup, Page, PageSection, PairedTable, bar_chart, mean_figures,
    result_sections,
};
use facegrad_results::{
    Better, CurveKind, EmbeddedImage, EmbeddingMap, Fact, Figure, ImagePair, Interval, Layout, MapClass,
    MeanFigure, NamedThreshold, ResultCurve, ResultSection, ResultSheet, ResultTable, Scale,
    ScoreDistribution,
    numbers::{percent, too_few},
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
pub fn realistic() -> Page {
    let models = ["iresnet50 cosface".into(), "nano softmax".into()];
    evaluation(&Words { models, text: Box::new(str::to_owned) })
}

/// The same, each text followed by markup and letters of every width without a place to break.
pub fn hostile() -> Page {
    let long = |c: char| c.to_string().repeat(300);
    let models = [format!("{}{HOSTILE}", long('W')), format!("{HOSTILE}{}", long('語'))];
    let tail = format!("{HOSTILE} {}{}", long('m'), "/very/long/path".repeat(20));
    evaluation(&Words { models, text: Box::new(move |text| format!("{text} {tail}")) })
}

/// How many images [`audit`] has.
pub const AUDIT_IMAGES: usize = 6 * 2 + 14 + 3;

/// An audit; `hostile` adds to each text what [`hostile`] does.
pub fn audit(hostile: bool) -> Page {
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
    let section = |title: &str, blocks: Vec<Block>| PageSection { title: text(title), blocks };
    let groups = |groups: Vec<ImageGroup>| {
        vec![Block::Note(text("The same photograph, changed a little.")), Block::Groups(groups)]
    };
    let bars = [("1", 12), ("2–3", 40), ("4–7", 120), ("8–15", 3), ("16–31", 0), ("32–63", 9)];
    let bars = bars.map(|(name, count)| (text(name), count));
    let title = text("Identities by their images");
    let mean =
        |mean| MeanFigure { name: text("accuracy"), mean, of_runs: vec![mean], ..MeanFigure::default() };
    let rows =
        [(text("cosface"), Some(mean(0.97))), (text("softmax"), Some(mean(0.94))), (text("none"), None)];
    let means = Drawing::new(mean_figures(&rows, Some(0.5)), title.clone());
    let chart = bar_chart(&title, &text("images"), &text("identities"), &bars);
    let table = |title: &str| {
        Block::Table(ResultTable {
            title: text(title),
            header: vec![text("image"), text("reason")],
            rows: vec![vec![text("Ann_Lee/0003.jpg"), text("the JPEG data ends early")]; 3],
            note: text("The first 3 of 9 are shown."),
            ..ResultTable::default()
        })
    };
    let facts = |name: &str, value: String| Block::Facts(String::new(), vec![Fact::new(text(name), value)]);
    Page {
        title: text("Audit of faces"),
        facts: vec![text("312 images of 20 identities"), text("against LFW")],
        warnings: vec![text("What embeddings say of labels is likely, not certain.")],
        sections: vec![
            section("Overview", vec![facts("images", text("312 images of 20 identities"))]),
            section(
                "Images of an identity",
                vec![
                    Block::Drawings(vec![Drawing::new(chart, title), means]),
                    table("Unreadable images"),
                    table("Wrong size"),
                ],
            ),
            section("One photograph under several identities", groups((0..6).map(|_| group(2)).collect())),
            section("Near duplicates", groups(vec![group(14), group(3)])),
            section(
                "Reproducing this",
                vec![
                    facts("set", text(&"5f1c".repeat(16))),
                    Block::Command(text("facegrad data audit faces --report audit.html")),
                ],
            ),
        ],
    }
}

fn evaluation(words: &Words) -> Page {
    let text = &words.text;
    let trial = |i: i32| {
        let rate = |base: f64| percent((base + 0.4 * f64::from(i * 7 % 5)) / 100.0);
        vec![i.to_string(), rate(88.1), rate(61.7), rate(71.3), rate(40.2)]
    };
    let trials = ResultTable {
        title: text("BLUFR: ten trials"),
        header: ["trial", "VR at FAR 0.1 %, iresnet50", "DIR at FAR 1 %, iresnet50", "VR, nano", "DIR, nano"]
            .map(text)
            .into(),
        rows: (1..=10).map(trial).collect(),
        note: text("VR: verification rate. DIR: detection and identification rate at rank 1."),
        ..ResultTable::default()
    };
    let mut search = [0, 1].map(|model| identification(words, model));
    search[0].sections[0].tables.push(trials);
    let mut sheets = vec![verification(words, 0, 3000), verification(words, 1, 3000)];
    sheets[0].maps = vec![map(words, "PCA", 0.0), map(words, "t-SNE", 1.0)];
    sheets.extend(search);
    sheets.extend([0, 1].map(|model| ResultSheet {
        name: text("LFW, all pairs"),
        pairs: Vec::new(),
        ..verification(words, model, 2_500_000)
    }));
    let [a, b] = &words.models;
    let header = [text(""), a.clone(), b.clone(), text("95 % of the difference"), text("verdict")];
    let row = ["accuracy", "99.12 %", "95.70 %", "+2.61 to +4.23", "the first is better"].map(text);
    let differences = PairedTable {
        table: ResultTable {
            title: text("Paired difference on LFW View 2"),
            header: header.into(),
            rows: vec![row.into()],
            ..ResultTable::default()
        },
        tests: vec![Fact::new(text("paired t-test"), text("over 10 folds: p 0.0003"))],
    };
    let mut sections = result_sections(&sheets, &[differences]);
    let facts = |all: &[(&str, &str)]| -> Vec<Fact> {
        all.iter().map(|(name, value)| Fact::new(text(name), text(value))).collect()
    };
    let run = facts(&[("version", "0.1.0"), ("backend", "flex, 2 threads"), ("seed", "1")]);
    let mut blocks = vec![
        Block::Facts(String::new(), run),
        Block::Command(text(
            "facegrad eval runs/iresnet50-cosface/best runs/nano-softmax/best --protocol lfw-view2 \
             --protocol lfw-blufr --images data/lfw --report report.html",
        )),
    ];
    blocks.extend(words.models.iter().map(|model| {
        let card = facts(&[
            ("backbone", "iresnet50, 43,590,848 parameters"),
            ("trained on", "made-up faces, 10,572 people, 490,623 images"),
            ("SHA-256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ]);
        Block::Facts(format!("Model card: {model}"), card)
    }));
    sections.push(PageSection { title: "Reproducing this".into(), blocks });
    Page {
        title: text("LFW: two models"),
        facts: ["2 models on 2 protocols", "finished in 41 s"].map(text).into(),
        warnings: vec![text("The training data of nano softmax holds 3 people of these lists.")],
        sections,
    }
}

/// Means and deviation of the scores of each model: genuine mean, impostor mean, deviation of both.
const SCORES: [(f64, f64, f64); 2] = [(0.62, 0.02, 0.12), (0.48, 0.03, 0.13)];

fn verification(words: &Words, model: usize, pairs: u64) -> ResultSheet {
    use Better::{Higher, Lower};
    use Scale::{Digits, Percent};
    let text = &words.text;
    let (genuine, impostor, deviation) = SCORES[model];
    let above = |mean: f64, threshold: f64| 1.0 - normal((threshold - mean) / deviation);
    let thresholds = (0..=1000).rev().map(|i| f64::from(i) / 500.0 - 1.0);
    let whole = |share: f64| (share * pairs as f64).floor() / pairs as f64;
    let mut roc: Vec<_> = thresholds.map(|t| (whole(above(impostor, t)), whole(above(genuine, t)))).collect();
    roc.push((1.0, 1.0));
    let counts = |mean: f64| {
        let share =
            |i: i32| above(mean, f64::from(i) / 50.0 - 1.0) - above(mean, f64::from(i + 1) / 50.0 - 1.0);
        (0..100).map(|i| (share(i) * pairs as f64).round() as u64).collect()
    };
    let accuracy = [0.9912, 0.9570][model];
    let mut figures = vec![
        measured("accuracy", &text("accuracy"), Percent, Higher, accuracy)
            .spread(Some(0.0011), "standard error")
            .note(text("± standard error; deviation over folds 0.34")),
        measured("auc", &text("AUC"), Digits(4), Higher, [0.9987, 0.9921][model]),
        measured("eer", &text("EER"), Percent, Lower, [0.0093, 0.0447][model]),
        measured("min_dcf", &text("minDCF"), Digits(4), Lower, [0.0871, 0.3012][model]),
    ];
    figures.extend((1..=6).map(|power| {
        let far = 0.1_f64.powi(power);
        let (key, label) = (format!("tar_at_far_1e-{power}"), text(&format!("TAR at FAR 1e-{power}")));
        if far * (pairs as f64) < 1.0 {
            let few = too_few(pairs as usize, "impostor pairs", 10_usize.pow(power as u32));
            return Figure::new(key, label, Percent, Higher, Err(text(&few)));
        }
        let reached = roc.iter().filter(|point| point.0 <= far).map(|point| point.1).fold(0.0, f64::max);
        measured(&key, &label, Percent, Higher, reached)
    }));
    let fold = |i: i32| {
        let accuracy = accuracy + f64::from(i * 7 % 10 - 4) / 1500.0;
        vec![(i + 1).to_string(), percent(accuracy), format!("{:.4}", 0.301 + f64::from(i * 3 % 5) / 500.0)]
    };
    let folds = ResultTable {
        title: text("Folds"),
        header: ["fold", "accuracy", "threshold"].map(text).into(),
        rows: (0..10).map(fold).collect(),
        ..ResultTable::default()
    };
    let pair = |i: usize| ImagePair {
        left: face(i * 2 + model),
        right: face(i * 3 + 7),
        score: 0.71 - i as f64 * 0.011,
        caption: text(&format!("George_W_Bush 0{:03} · Tony_Blair 0{:03}", i * 7 + 1, i * 5 + 2)),
    };
    let mut false_rejects: Vec<ImagePair> = (20..40).map(pair).collect();
    false_rejects[1].left.bytes = b"no image at all".to_vec();
    let facts = [
        ("scores", "cosine, flip fusion add"),
        ("mean removal", "none"),
        ("folds", "10, of the list"),
        ("detection cost", "prior 0.01, costs 1 and 1"),
    ];
    ResultSheet {
        protocol: text("3,000 genuine and 3,000 impostor pairs in 10 folds, disjoint by people"),
        name: text("LFW View 2"),
        model: words.models[model].clone(),
        headlines: vec![("accuracy", "accuracy")],
        sections: vec![ResultSection {
            layout: Layout::Columns,
            figures,
            facts: facts.map(|(name, value)| Fact::new(text(name), text(value))).into(),
            tables: vec![folds],
            ..ResultSection::default()
        }],
        remarks: [text("Three people are also in the training data.")][..model].to_vec(),
        curves: vec![ResultCurve { kind: CurveKind::Roc, points: roc, support: pairs as usize }],
        scores: Some(ScoreDistribution {
            range: (-1.0, 1.0),
            genuine: counts(genuine),
            impostor: counts(impostor),
        }),
        thresholds: [("best on the other folds", 0.304), ("FAR 1 %", 0.321), ("FAR 0.1 %", 0.402)]
            .map(|(name, value)| NamedThreshold { name: text(name), value })
            .into(),
        pairs: vec![
            (text("Worst false accepts: other people"), (0..20).map(pair).collect()),
            (text("Worst false rejects: same person"), false_rejects),
        ],
        maps: Vec::new(),
    }
}

fn identification(words: &Words, model: usize) -> ResultSheet {
    use Better::{Higher, Lower};
    let text = &words.text;
    let found = |rank: f64| 1.0 - [0.08, 0.31][model] * rank.powf(-0.45);
    let open = |far: f64| (1.0 - [0.1, 0.4][model] * far.powf(-0.2)).max(0.0);
    let mut figures: Vec<Figure> = [1, 5, 20]
        .map(|rank| {
            let label = text(&format!("rank {rank}"));
            measured(&format!("rank_{rank}"), &label, Scale::Percent, Higher, found(f64::from(rank)))
        })
        .into();
    figures.push(measured("map", &text("mAP"), Scale::Percent, Higher, found(1.2)));
    figures.push(measured("fnir_0.01", &text("FNIR at FPIR 1 %"), Scale::Percent, Lower, 1.0 - open(0.01)));
    let few = Err(text("not measurable: 3,000 searches, it takes 10,000"));
    figures.push(Figure::new("fnir_0.0001", text("FNIR at FPIR 0.01 %"), Scale::Percent, Lower, few));
    let facts = [("score", "cosine"), ("flip fusion", "none")]
        .map(|(name, value)| Fact::new(text(name), text(value)));
    ResultSheet {
        protocol: text("all pairs of the test images; 10 trials"),
        name: text("LFW BLUFR"),
        model: words.models[model].clone(),
        headlines: vec![("rank_1", "rank-1 rate")],
        sections: vec![ResultSection { figures, facts: facts.into(), ..ResultSection::default() }],
        curves: vec![
            ResultCurve {
                kind: CurveKind::Cmc,
                points: (1..=100).map(|rank| (f64::from(rank), found(f64::from(rank)))).collect(),
                support: 0,
            },
            ResultCurve {
                kind: CurveKind::OpenSet,
                points: (1..=3000).map(|i| f64::from(i) / 3000.0).map(|far| (far, open(far))).collect(),
                support: 3000,
            },
        ],
        ..ResultSheet::default()
    }
}

/// A figure with both intervals.
fn measured(key: &str, label: &str, scale: Scale, better: Better, value: f64) -> Figure {
    let half = 1.96 * (value * (1.0 - value) / 3000.0).sqrt();
    Figure::new(key, label, scale, better, Ok(value))
        .by_pairs(Some(Interval { low: value - half, high: (value + half).min(1.0) }))
        .by_people(Some(Interval { low: value - half * 1.6, high: (value + half * 1.5).min(1.0) }))
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
fn face(number: usize) -> EmbeddedImage {
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
    EmbeddedImage { bytes: png(SIDE as u32, &raw), alt: format!("face {number}") }
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
