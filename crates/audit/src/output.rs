//! Findings as text and as JSON.

use facegrad_faces::FaceSource;
use facegrad_results::{
    Align, Fact, TextTable,
    numbers::{points, thousands},
};
use serde_json::{Value, json};

use crate::{DuplicateGroup, Exclude, Exclusion, Findings, MOST_OFF, Sameness, SuspectLabel, emptied};

/// A number of things, with thousands set apart.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

fn share(count: usize, of: usize) -> String {
    format!("{} %", points(count as f64 / of.max(1) as f64, 1))
}

/// The findings as a table of a line each. `against` is the other set, if there was one.
pub fn table(findings: &Findings, source: &dyn FaceSource, against: Option<&dyn FaceSource>) -> String {
    let mut table = TextTable::new(&[Align::Left]);
    facts(findings, source, against).into_iter().for_each(|fact| table.row([fact.name, fact.value]));
    table.to_string()
}

/// The findings, a line each.
pub(crate) fn facts(
    findings: &Findings,
    source: &dyn FaceSource,
    against: Option<&dyn FaceSource>,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut say = |name: &str, text: String| facts.push(Fact::new(name, text));
    let images = |count| counted(count, "image", "images");
    let identities = |count| counted(count, "identity", "identities");
    let (least, median, most) = findings.count_range();
    say("images", format!("{} of {}", images(findings.images), identities(findings.identities)));
    say("of each", format!("from {least} to {most} images, median {median}"));
    let sizes: Vec<String> = findings
        .sizes
        .iter()
        .take(3)
        .map(|((width, height), count)| format!("{height} x {width} ({})", images(*count)))
        .collect();
    let others = findings.sizes.len().saturating_sub(3);
    let more = if others > 0 {
        format!(", {}", counted(others, "other size", "other sizes"))
    } else {
        String::new()
    };
    let all_square = findings.sizes.iter().all(|((width, height), _)| width == height);
    let order = if all_square { "" } else { "; height x width" };
    say("sizes", format!("{}{more}{order}", sizes.join(", ")));
    if findings.size.is_some() && !findings.wrong_size.is_empty() {
        say("wrong size", images(findings.wrong_size.len()));
    }
    if !findings.formats.is_empty() {
        let formats = findings.formats.iter();
        let formats: Vec<String> =
            formats.map(|(format, count)| format!("{} {format}", thousands(*count))).collect();
        let mut text = formats.join(", ");
        if !findings.misnamed.is_empty() {
            text.push_str(&format!("; {} with the extension of another format", findings.misnamed.len()));
        }
        say("formats", text);
    }
    let special = [
        (findings.turned, "turned by EXIF"),
        (findings.deep, "of more than 8 bits"),
        (findings.cmyk, "in CMYK"),
    ];
    let special: Vec<String> = special
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !special.is_empty() {
        say("converted", special.join(", "));
    }
    let readable = findings.images - findings.unreadable.len();
    say("grey", format!("{} ({})", images(findings.grey), share(findings.grey, readable)));
    if !findings.plain.is_empty() {
        let share = share(findings.plain.len(), readable);
        say("plain", format!("{} of one colour, or hardly more ({share})", images(findings.plain.len())));
    }
    let of_images = share(findings.unreadable.len(), findings.images);
    say("unreadable", format!("{} ({of_images})", images(findings.unreadable.len())));
    let (exact, near) = findings.repeated(source);
    say("duplicates", format!("{} repeat another of their identity", images(exact)));
    say("near", format!("{} are another of their identity, changed", images(near)));
    let across = findings.duplicates.iter().filter(|group| Findings::is_across(group, source));
    let (groups, of_groups) =
        across.fold((0, 0), |(groups, of_groups), group| (groups + 1, of_groups + 1 + group.others.len()));
    let groups = counted(groups, "photograph is", "photographs are");
    say("cross-identity", format!("{groups} under several identities ({})", images(of_groups)));
    match findings.likeness {
        Some(likeness) if likeness < crate::ALIGNED_LIKENESS => {
            say(
                "alignment",
                format!("the faces have no common place (median likeness {likeness:.2}); align them"),
            );
        }
        Some(likeness) => {
            let unaligned = images(findings.unaligned.len());
            say("alignment", format!("{unaligned} unlike the mean face (median likeness {likeness:.2})"));
        }
        None => {}
    }
    if findings.with_landmarks > 0 {
        let misplaced = images(findings.misplaced.len());
        let of = images(findings.with_landmarks);
        say(
            "eyes",
            format!(
                "{misplaced} with an eye more than {MOST_OFF} pixels off its place, of {of} with landmarks"
            ),
        );
    }
    if !findings.few.is_empty() {
        say("few images", identities(findings.few.len()));
    }
    if !findings.alike_names.is_empty() {
        let spelt = counted(findings.alike_names.len(), "name", "names");
        say("names", format!("{spelt} in several spellings"));
    }
    if let Some(labels) = &findings.labels {
        let recognised = 100.0 * labels.usual.recognised;
        let trust =
            if labels.usual.recognised < crate::TRUSTED { ": too few to trust what follows" } else { "" };
        say(
            "embeddings",
            format!("{recognised:.1} % of the images are nearest to their own identity{trust}"),
        );
        say("mislabelled", format!("{} look like another identity", images(labels.mislabelled.len())));
        say("odd", format!("{} look like nobody in the set", images(labels.odd.len())));
        say("merged", format!("{} may be two people", identities(labels.merged.len())));
        say(
            "split",
            format!("{} of identities may be one person", counted(labels.split.len(), "pair", "pairs")),
        );
    }
    if let (Some(overlap), Some(other)) = (&findings.against, against) {
        let mut text =
            format!("{}, {} by name", images(overlap.images.len()), identities(overlap.names.len()));
        if findings.labels.is_some() {
            text.push_str(&format!(", {} by looks", identities(overlap.people.len())));
        }
        let of = format!("{} of {}", images(other.len()), identities(other.identities().len()));
        say("also there", format!("{text} (among {of})"));
    }
    facts
}

/// The findings as JSON: images by the key of the set, identities by their names.
pub fn json(
    findings: &Findings,
    source: &dyn FaceSource,
    against: Option<&dyn FaceSource>,
    exclusions: &[Exclusion],
) -> Value {
    let key = |image: usize| source.key(image);
    let identity = |label: usize| source.identities()[label].clone();
    let of = |image: usize| identity(source.label(image));
    let (least, median, most) = findings.count_range();
    let keys = |images: &[usize]| list(images, |&image| key(image).into());
    let group = |group: &&DuplicateGroup| {
        let first = json!({ "image": key(group.first), "identity": of(group.first) });
        let others = group.others.iter().map(|&(image, sameness)| {
            with_sameness(json!({ "image": key(image), "identity": of(image) }), sameness)
        });
        Value::Array(std::iter::once(first).chain(others).collect())
    };
    let (across, within): (Vec<_>, Vec<_>) =
        findings.duplicates.iter().partition(|group| Findings::is_across(group, source));
    let mislabelled = |found: &SuspectLabel| {
        json!({
            "image": key(found.image), "identity": of(found.image), "own": found.own, "other": found.other,
            "nearest": identity(found.nearest),
        })
    };
    let mut reasons = serde_json::Map::new();
    for &reason in Exclude::ALL {
        let count = exclusions.iter().filter(|exclusion| exclusion.reason == reason).count();
        if count > 0 {
            reasons.insert(reason.as_str().into(), count.into());
        }
    }
    let mut found = json!({
        "images": findings.images,
        "identities": findings.identities,
        "images_per_identity": { "least": least, "median": median, "most": most },
        "identities_by_images": list(&findings.count_bins(), |(from, to, identities)| {
            json!({ "from": from, "to": to, "identities": identities })
        }),
        "unreadable": list(&findings.unreadable, |unreadable| {
            json!({ "image": key(unreadable.image), "reason": unreadable.reason })
        }),
        "sizes": list(&findings.sizes, |((width, height), images)| {
            json!({ "width": width, "height": height, "images": images })
        }),
        "size": findings.size.map(|(width, height)| json!({ "width": width, "height": height })),
        "wrong_size": keys(&findings.wrong_size),
        "formats": list(&findings.formats, |(format, files)| {
            json!({ "format": format.to_string(), "files": files })
        }),
        "misnamed": keys(&findings.misnamed),
        "plain": keys(&findings.plain),
        "grey": findings.grey,
        "turned_by_exif": findings.turned,
        "more_than_8_bits": findings.deep,
        "cmyk": findings.cmyk,
        "median_likeness": findings.likeness,
        "unaligned": list(&findings.unaligned, |&(image, likeness)| {
            json!({ "image": key(image), "likeness": likeness })
        }),
        "with_landmarks": findings.with_landmarks,
        "misplaced": list(&findings.misplaced, |&(image, off)| json!({ "image": key(image), "eyes_off": off })),
        "duplicates": list(&within, group),
        "cross_identity": list(&across, group),
        "few_images": list(&findings.few, |&label| {
            json!({ "identity": identity(label), "images": findings.counts[label] })
        }),
        "names_alike": list(&findings.alike_names, |labels| list(labels, |&label| identity(label).into())),
        "excluded": {
            "images": exclusions.len(),
            "reasons": reasons,
            "identities_emptied": list(&emptied(findings, source, exclusions), |&label| identity(label).into()),
        },
    });
    if let Some(labels) = &findings.labels {
        found["labels"] = json!({
            "recognised": labels.usual.recognised,
            "usual": {
                "own_median": labels.usual.own, "own_lower_quartile": labels.usual.own_quartile,
                "nearest_identity_median": labels.usual.between, "halves_lowest_tenth": labels.usual.halves,
            },
            "mislabelled": list(&labels.mislabelled, mislabelled),
            "odd": list(&labels.odd, mislabelled),
            "merged": list(&labels.merged, |merged| json!({
                "identity": identity(merged.identity), "cosine": merged.cosine, "part": keys(&merged.part),
            })),
            "split": list(&labels.split, |alike| json!({
                "identities": [identity(alike.a), identity(alike.b)], "cosine": alike.cosine,
            })),
        });
    }
    if let (Some(overlap), Some(other)) = (&findings.against, against) {
        let there = |label: usize| other.identities()[label].clone();
        found["against"] = json!({
            "images": other.len(),
            "identities": other.identities().len(),
            "by_name": list(&overlap.names, |&(a, b)| json!([identity(a), there(b)])),
            "by_image": list(&overlap.images, |common| with_sameness(
                json!({
                    "image": key(common.image), "identity": of(common.image), "other": other.key(common.other),
                    "other_identity": there(other.label(common.other)),
                }),
                common.sameness,
            )),
            "by_looks": list(&overlap.people, |alike| json!({
                "identities": [identity(alike.a), there(alike.b)], "cosine": alike.cosine,
            })),
        });
    }
    found
}

fn list<T>(items: &[T], entry: impl Fn(&T) -> Value) -> Value {
    items.iter().map(entry).collect()
}

/// An entry, and how the image in it is the same as another.
fn with_sameness(mut entry: Value, sameness: Sameness) -> Value {
    entry["same"] = match sameness {
        Sameness::File => "file",
        Sameness::Pixels => "pixels",
        Sameness::Near { difference, mirrored } => {
            (entry["difference"], entry["mirrored"]) = (difference.into(), mirrored.into());
            "near"
        }
    }
    .into();
    entry
}
