//! Findings as a page with the images side by side.

use std::path::PathBuf;

use facegrad_faces::FaceSource;
use facegrad_files::name_of;
use facegrad_pictures::{ImageFormat, encode, plain};
use facegrad_recognition::EmbeddingSource;
use facegrad_report::{Block, CaptionedImage, Drawing, ImageGroup, Page, PageSection, bar_chart};
use facegrad_results::{EmbeddedImage, Fact, ResultTable};

use crate::{
    Audit, AuditEmbeddings, DuplicateGroup, Exclude, Exclusion, Findings, GREY_TOLERANCE, MOST_OFF, Nearness,
    Sameness, SuspectLabel, TRUSTED, emptied,
    output::{counted, facts},
};

/// How much a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOptions {
    /// So many of each kind of finding.
    pub shown: usize,
    /// Side of a thumbnail in pixels.
    pub thumbnail: usize,
    /// So many images of a group at most.
    pub of_group: usize,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self { shown: 40, thumbnail: 96, of_group: 12 }
    }
}

/// The sets whose images are shown.
struct Sets<'a> {
    source: &'a dyn FaceSource,
    against: Option<&'a dyn FaceSource>,
    options: PageOptions,
}

impl Sets<'_> {
    fn captioned(&self, set: &dyn FaceSource, image: usize, said: &str) -> CaptionedImage {
        let side = [self.options.thumbnail; 2];
        let picture = set.load(image, side).ok().map(|picture| plain(picture, side));
        let bytes = picture.and_then(|picture| encode(&picture, ImageFormat::Jpeg).ok()).unwrap_or_default();
        let key = set.key(image);
        let caption = if said.is_empty() { key.clone() } else { format!("{key}: {said}") };
        CaptionedImage { thumbnail: EmbeddedImage { bytes, alt: key }, caption }
    }

    fn image(&self, image: usize, said: &str) -> CaptionedImage {
        self.captioned(self.source, image, said)
    }

    fn identity(&self, label: usize) -> &str {
        &self.source.identities()[label]
    }

    fn of(&self, image: usize) -> &str {
        self.identity(self.source.label(image))
    }

    /// The first images of an identity.
    fn some_of(&self, set: &dyn FaceSource, label: usize, count: usize) -> Vec<CaptionedImage> {
        let images = (0..set.len()).filter(|&image| set.label(image) == label).take(count);
        images.map(|image| self.captioned(set, image, "")).collect()
    }

    fn group(&self, group: &DuplicateGroup) -> ImageGroup {
        let mut images = vec![self.image(group.first, "")];
        for &(image, sameness) in group.others.iter().take(self.options.of_group.saturating_sub(1)) {
            images.push(self.image(image, &said(sameness)));
        }
        let mut people: Vec<&str> = group.images().map(|image| self.of(image)).collect();
        people.dedup();
        people.truncate(6);
        let count = counted(1 + group.others.len(), "image", "images");
        ImageGroup { caption: format!("{count} of {}", people.join(", ")), images }
    }

    fn mislabelled(&self, found: &SuspectLabel, typical: &[Option<usize>]) -> ImageGroup {
        let own = self.source.label(found.image);
        let mut images = vec![self.image(found.image, "")];
        for (label, what) in [(own, "typical of its label"), (found.nearest, "typical of what it looks like")]
        {
            if let Some(image) = typical.get(label).copied().flatten() {
                images.push(self.image(image, what));
            }
        }
        let (label, nearest) = (self.identity(own), self.identity(found.nearest));
        let caption = format!("{label} ({:.3}), nearest other {nearest} ({:.3})", found.own, found.other);
        ImageGroup { caption, images }
    }
}

fn said(sameness: Sameness) -> String {
    match sameness {
        Sameness::File => "the same file".into(),
        Sameness::Pixels => "the same pixels".into(),
        Sameness::Near { difference, mirrored } => {
            format!("{}difference {difference:.1}", if mirrored { "mirrored, " } else { "" })
        }
    }
}

/// `shown` of `all`, in words.
fn first_of(shown: usize, all: usize) -> String {
    if all > shown { format!(" The first {shown} of {all} are shown.") } else { String::new() }
}

/// What a page says of how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageOrigin {
    /// Where the set is.
    pub set: PathBuf,
    /// Where the evaluation set is, if there is one.
    pub against: Option<PathBuf>,
    /// The command that made the page.
    pub command: String,
}

impl Audit<'_> {
    /// The page of what was found, with the images side by side, and of whom `exclusions` leave nothing.
    pub fn page(
        &self,
        findings: &Findings,
        exclusions: &[Exclusion],
        origin: &PageOrigin,
        options: PageOptions,
    ) -> Page {
        let mut facts = vec![self.set.summary.to_string()];
        if let (Some(path), Some(against)) = (&origin.against, self.against) {
            facts.push(format!("against {}: {}", name_of(path), against.summary));
        }
        let sets = [Some(self.set), self.against];
        let mut warnings: Vec<String> =
            sets.into_iter().flatten().flat_map(|set| set.summary.notes.iter().cloned()).collect();
        if let Some(labels) = &findings.labels {
            if labels.usual.recognised < TRUSTED {
                warnings.push(format!(
                    "The embeddings tell these identities apart for {:.1} % of the images only: what they say of labels is \
                     not to be trusted.",
                    100.0 * labels.usual.recognised
                ));
            }
            warnings.push(
                "What embeddings say of labels is likely, not certain: look at the images. A model that was trained on \
                 these labels tends to confirm them."
                    .into(),
            );
        }
        let against = self.against.map(|against| against.source.as_ref());
        let sets = Sets { source: self.set.source.as_ref(), against, options };
        let mut sections = sections(findings, &sets, &self.options.nearness);
        sections.extend(left_out(findings, &sets, exclusions));
        let mut run = vec![
            Fact::new("facegrad", env!("CARGO_PKG_VERSION")),
            Fact::new("set", sets.source.fingerprint()),
        ];
        run.extend(against.map(|against| Fact::new("evaluation set", against.fingerprint())));
        run.extend(self.embeddings.into_iter().flat_map(AuditEmbeddings::facts));
        let blocks = vec![Block::Facts(String::new(), run), Block::Command(origin.command.clone())];
        sections.push(PageSection { title: "Reproducing this".into(), blocks });
        Page { title: format!("Audit of {}", name_of(&origin.set)), facts, warnings, sections }
    }
}

impl AuditEmbeddings {
    /// What they are.
    fn facts(&self) -> Vec<Fact> {
        match &self.source {
            EmbeddingSource::Model { path, model, backend } => {
                let mut facts = vec![Fact::new("model", name_of(path))];
                facts.extend(model.sha256.iter().map(|sha256| Fact::new("model SHA-256", sha256)));
                facts.push(Fact::new("flip fusion", self.flip.to_string()));
                facts.push(Fact::new("backend", backend));
                facts
            }
            EmbeddingSource::File { name, file, .. } => {
                let size = format!("{} of {} numbers", file.len(), file.dim());
                vec![Fact::new("embeddings", format!("{name}: {size}"))]
            }
        }
    }
}

/// What was found, by kind; kinds without findings are left out.
fn sections(findings: &Findings, sets: &Sets, nearness: &Nearness) -> Vec<PageSection> {
    let overview = Block::Facts(String::new(), facts(findings, sets.source, sets.against));
    let mut sections = vec![PageSection { title: "Overview".into(), blocks: vec![overview] }];
    sections.extend(people(findings));
    sections.push(files(findings, sets));
    let (across, within): (Vec<&DuplicateGroup>, Vec<_>) =
        findings.duplicates.iter().partition(|group| Findings::is_across(group, sets.source));
    let (exact, near): (Vec<_>, Vec<_>) = within.into_iter().partition(|group| {
        group.others.iter().all(|(_, sameness)| !matches!(sameness, Sameness::Near { .. }))
    });
    let Nearness { bits, within, across: between } = nearness;
    let how = format!(
        "Perceptual hashes differ in at most {bits} of 64 bits, and grey thumbnails of equal brightness and contrast by \
         at most {within} grey levels within an identity, {between} between identities."
    );
    let kinds = [
        ("One photograph under several identities", across, format!("Nobody knows whose it is. {how}")),
        ("Near duplicates within an identity", near, how.clone()),
        ("Exact duplicates within an identity", exact, "The same file, or the same pixels.".to_owned()),
    ];
    for (title, groups, note) in kinds {
        let shown = groups.iter().take(sets.options.shown).map(|group| sets.group(group)).collect();
        sections.push(section(title, format!("{note}{}", first_of(sets.options.shown, groups.len())), shown));
    }
    sections.extend(labels(findings, sets));
    sections.extend(overlap(findings, sets));
    sections.push(unaligned(findings, sets));
    sections.retain(|section| section.blocks.iter().any(|block| !matches!(block, Block::Note(_))));
    sections
}

/// A kind of finding: what it means and how it was found, and the images; nothing without images.
fn section(title: &str, note: String, groups: Vec<ImageGroup>) -> PageSection {
    let images = (!groups.is_empty()).then_some(Block::Groups(groups));
    PageSection { title: title.into(), blocks: [Block::Note(note)].into_iter().chain(images).collect() }
}

/// What the list of images to leave out does to the set.
fn left_out(findings: &Findings, sets: &Sets, exclusions: &[Exclusion]) -> Option<PageSection> {
    let reasons = Exclude::ALL.iter().map(|&reason| {
        let count = exclusions.iter().filter(|exclusion| exclusion.reason == reason).count();
        vec![reason.to_string(), count.to_string()]
    });
    let table = |title: &str, header: [&str; 2], rows: Vec<Vec<String>>| {
        let header = header.map(str::to_owned).to_vec();
        Block::Table(ResultTable { title: title.into(), header, rows, ..ResultTable::default() })
    };
    // All of them, however many are shown elsewhere: who is lost is named.
    let emptied = emptied(findings, sets.source, exclusions).into_iter();
    let emptied =
        emptied.map(|label| vec![sets.identity(label).to_owned(), findings.counts[label].to_string()]);
    let reasons = reasons.filter(|row| row[1] != "0").collect();
    let blocks = vec![
        table("Images to leave out", ["reason", "images"], reasons),
        table("Identities of which nothing is left", ["identity", "images"], emptied.collect()),
    ];
    (!exclusions.is_empty()).then(|| PageSection { title: "What is left out".into(), blocks })
}

/// How many images identities have.
fn people(findings: &Findings) -> Option<PageSection> {
    let bins = findings.count_bins();
    let name = |from: usize, to: usize| if from == to { from.to_string() } else { format!("{from}–{to}") };
    let bars: Vec<(String, u64)> =
        bins.iter().map(|&(from, to, identities)| (name(from, to), identities as u64)).collect();
    let title = "Identities by their images";
    let chart = Drawing::new(bar_chart(title, "images", "identities", &bars), title);
    let blocks = vec![Block::Drawings(vec![chart])];
    (!bars.is_empty()).then(|| PageSection { title: "Images of an identity".into(), blocks })
}

fn files(findings: &Findings, sets: &Sets) -> PageSection {
    let shown = sets.options.shown;
    let table = |title: &str, header: [&str; 2], rows: Vec<Vec<String>>, all: usize| {
        let note = first_of(shown, all).trim().to_owned();
        let header = header.map(str::to_owned).to_vec();
        Block::Table(ResultTable { title: title.into(), header, rows, note, ..ResultTable::default() })
    };
    let keys = |images: &[usize], said: &dyn Fn(usize) -> String| -> Vec<Vec<String>> {
        images.iter().take(shown).map(|&image| vec![sets.source.key(image), said(image)]).collect()
    };
    let sizes = findings.sizes.iter().take(shown);
    let sizes = sizes.map(|((width, height), count)| vec![format!("{height} x {width}"), count.to_string()]);
    let unreadable = findings.unreadable.iter().take(shown);
    let unreadable = unreadable.map(|bad| vec![sets.source.key(bad.image), bad.reason.clone()]);
    let few = findings.few.iter().take(shown);
    let few = few.map(|&label| vec![sets.identity(label).to_owned(), findings.counts[label].to_string()]);
    let alike = findings.alike_names.iter().take(shown).map(|labels| {
        let names: Vec<&str> = labels.iter().map(|&label| sets.identity(label)).collect();
        vec![names[0].to_owned(), names[1..].join(", ")]
    });
    PageSection {
        title: "Files and names".into(),
        blocks: vec![
            Block::Note(format!(
                "An image is grey if the channels of 99 % of its pixels differ by {GREY_TOLERANCE} at most. {} are.",
                counted(findings.grey, "image", "images")
            )),
            table("Unreadable images", ["image", "reason"], unreadable.collect(), findings.unreadable.len()),
            table("Sizes", ["height x width", "images"], sizes.collect(), findings.sizes.len()),
            table(
                "Wrong size",
                ["image", "identity"],
                keys(&findings.wrong_size, &|image| sets.of(image).to_owned()),
                findings.wrong_size.len(),
            ),
            table(
                "Extension of another format",
                ["image", "identity"],
                keys(&findings.misnamed, &|image| sets.of(image).to_owned()),
                findings.misnamed.len(),
            ),
            table(
                "Plain images",
                ["image", "identity"],
                keys(&findings.plain, &|image| sets.of(image).to_owned()),
                findings.plain.len(),
            ),
            table("Too few images", ["identity", "images"], few.collect(), findings.few.len()),
            table(
                "Names in several spellings",
                ["name", "also"],
                alike.collect(),
                findings.alike_names.len(),
            ),
        ],
    }
}

fn labels(findings: &Findings, sets: &Sets) -> Vec<PageSection> {
    let Some(labels) = &findings.labels else { return Vec::new() };
    let shown = sets.options.shown;
    let usual = labels.usual;
    let section = |title: &str, note: String, all: usize, groups: Vec<ImageGroup>| {
        section(title, format!("{note}{}", first_of(shown, all)), groups)
    };
    let wrong = |found: &[SuspectLabel]| {
        found.iter().take(shown).map(|found| sets.mislabelled(found, &labels.typical)).collect()
    };
    let merged = labels.merged.iter().take(shown).map(|merged| {
        let (part, count) = (&merged.part, sets.options.of_group / 2);
        let rest = (0..sets.source.len()).filter(|image| {
            sets.source.label(*image) == merged.identity && part.binary_search(image).is_err()
        });
        let one = part.iter().take(count).map(|&image| sets.image(image, "one part"));
        let other = rest.take(count).map(|image| sets.image(image, "the other"));
        let name = sets.identity(merged.identity);
        ImageGroup {
            caption: format!("{name}: parts at cosine {:.3}, {} in the smaller", merged.cosine, part.len()),
            images: one.chain(other).collect(),
        }
    });
    let split = labels.split.iter().take(shown).map(|alike| {
        let mut images = sets.some_of(sets.source, alike.a, sets.options.of_group / 2);
        images.extend(sets.some_of(sets.source, alike.b, sets.options.of_group / 2));
        let names = [alike.a, alike.b].map(|label| sets.identity(label)).join(" and ");
        ImageGroup { caption: format!("{names}: cosine {:.3}", alike.cosine), images }
    });
    vec![
        section(
            "Likely mislabelled images",
            format!(
                "Far from the mean of their identity and near to another; numbers are cosines with those means, without \
                 the image itself. The median of all images is {:.3}.",
                usual.own
            ),
            labels.mislabelled.len(),
            wrong(&labels.mislabelled),
        ),
        section(
            "Images that look like nobody",
            "Far from the mean of their identity, and not near to another.".into(),
            labels.odd.len(),
            wrong(&labels.odd),
        ),
        section(
            "Identities that may be two people",
            "Cut in two by 2-means; the cosine is that between the means of the parts.".into(),
            labels.merged.len(),
            merged.collect(),
        ),
        section(
            "Identities that may be one person",
            format!(
                "Nearest to each other; the cosine is that between their means. Between an identity and the nearest \
                 other it is {:.3} in the median.",
                usual.between
            ),
            labels.split.len(),
            split.collect(),
        ),
    ]
}

fn overlap(findings: &Findings, sets: &Sets) -> Vec<PageSection> {
    let (Some(overlap), Some(other)) = (&findings.against, sets.against) else { return Vec::new() };
    let shown = sets.options.shown;
    let side_by_side = |a: usize, b: usize, said: String| {
        let mut images = sets.some_of(sets.source, a, 3);
        images.extend(sets.some_of(other, b, 3));
        let caption = format!("{} and {}{said}", sets.identity(a), other.identities()[b]);
        ImageGroup { caption, images }
    };
    let people = overlap.people.iter().take(shown);
    let people = people.map(|alike| side_by_side(alike.a, alike.b, format!(": cosine {:.3}", alike.cosine)));
    let names = overlap.names.iter().take(shown).map(|&(a, b)| side_by_side(a, b, String::new()));
    let images = overlap.images.iter().take(shown).map(|common| ImageGroup {
        caption: format!("{} and {}", sets.of(common.image), other.identities()[other.label(common.other)]),
        images: vec![
            sets.image(common.image, ""),
            sets.captioned(other, common.other, &said(common.sameness)),
        ],
    });
    let section = |title: &str, note: &str, all: usize, groups: Vec<ImageGroup>| {
        section(title, format!("{note}{}", first_of(shown, all)), groups)
    };
    vec![
        section(
            "Images that are in the other set",
            "The same file, the same pixels or the same photograph.",
            overlap.images.len(),
            images.collect(),
        ),
        section(
            "People whose names are in the other set",
            "But for case, accents and what is between the parts; names with digits are not compared.",
            overlap.names.len(),
            names.collect(),
        ),
        section(
            "People who may be in the other set",
            "Nearest to each other, and far nearer than people of the other set are to those of this one.",
            overlap.people.len(),
            people.collect(),
        ),
    ]
}

fn unaligned(findings: &Findings, sets: &Sets) -> PageSection {
    let shown = sets.options.shown;
    let group = |found: &[(usize, f32)], why: &str, measure: &dyn Fn(f32) -> String| {
        let image = |&(image, value): &(usize, f32)| sets.image(image, &measure(value));
        let images: Vec<CaptionedImage> = found.iter().take(shown).map(image).collect();
        let caption = format!("{} {why}", counted(found.len(), "image", "images"));
        (!images.is_empty()).then_some(ImageGroup { caption, images })
    };
    let unlike =
        group(&findings.unaligned, "unlike the mean face", &|likeness| format!("likeness {likeness:.2}"));
    let off = group(&findings.misplaced, "by landmarks", &|off| format!("eyes {off:.1} pixels off"));
    let groups = off.into_iter().chain(unlike).collect();
    section(
        "Faces that lie elsewhere",
        format!(
            "By landmarks: an eye is more than {MOST_OFF} pixels of 112 from its place. Unlike the mean face: around eyes, \
             nose and mouth they are rather the opposite of it: upside down, far off their place, covered, or no face.{}",
            first_of(shown, findings.unaligned.len().max(findings.misplaced.len()))
        ),
        groups,
    )
}
