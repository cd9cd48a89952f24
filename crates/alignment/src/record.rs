//! What became of each photograph: the journal of the work, and the table at its end.

use std::{collections::HashMap, fs, io, path::Path};

use facegrad_files::{Journal, JournalError, is_temporary};
use serde::{Deserialize, Serialize};

use crate::{AlignError, job::AlignSettings};

/// The file in the folder of the faces that says what was done with each photograph, while it is being done.
pub(crate) const JOURNAL: &str = ".alignment.jsonl";
/// The file in the folder of the faces that says the same, when all is done.
pub const TABLE: &str = "alignment.csv";

/// Longest line of the journal, in bytes: a path has 4096 at most, and JSON may need six for one.
const MAX_LINE: u64 = 1 << 16;

/// What became of a photograph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignmentOutcome {
    /// Its face was aligned.
    Aligned,
    /// It has no face that can be aligned; its centre was taken.
    Centred,
    /// It has no face that can be aligned; there is no output.
    WithoutFace,
    /// It cannot be read; there is no output.
    Unreadable,
}

impl AlignmentOutcome {
    /// Whether there is an aligned picture.
    pub fn has_output(self) -> bool {
        matches!(self, Self::Aligned | Self::Centred)
    }

    /// Its name in the journal and the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aligned => "aligned",
            Self::Centred => "centred",
            Self::WithoutFace => "without_face",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One photograph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlignmentRecord {
    /// Its path within the folder, with `/` between the parts.
    pub path: String,
    /// The size of its file in bytes, by which a changed one is noticed.
    pub bytes: u64,
    /// What became of it.
    pub outcome: AlignmentOutcome,
    /// Why it was not aligned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many faces were found.
    pub faces: usize,
    /// How sure the detector was of the one taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// The left, upper, right and lower edge of the one taken, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f32; 4]>,
    /// The landmarks of the one taken, as in [`Face::landmarks`](crate::Face::landmarks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmarks: Option<[[f32; 2]; 5]>,
}

/// Continues the journal of the work in `folder`, or begins it: a line with the settings, then one for each photograph.
/// Also returns the records that are there, by their paths.
pub(crate) fn open_journal(
    folder: &Path,
    settings: &AlignSettings,
) -> Result<(Journal, HashMap<String, AlignmentRecord>), AlignError> {
    let path = folder.join(JOURNAL);
    let unwritable = |source| AlignError::Unwritable { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(unwritable)?;
    if !path.exists() {
        let mut entries = fs::read_dir(folder).map_err(unwritable)?;
        if entries.any(|entry| entry.is_ok_and(|entry| !is_temporary(&entry.file_name()))) {
            return Err(AlignError::Occupied { folder: folder.into() });
        }
    }
    let mut records = HashMap::new();
    let mut add = |line: &[u8]| {
        let record = serde_json::from_slice::<AlignmentRecord>(line);
        record.map(|record| records.insert(record.path.clone(), record)).is_ok()
    };
    let (journal, _) =
        Journal::of_work(&path, settings, MAX_LINE, &mut add).map_err(|error| match error {
            JournalError::Io(source) => unwritable(source),
            JournalError::Held(_) => AlignError::InUse { folder: folder.into() },
            JournalError::NoHeader => AlignError::DamagedJournal { path: path.clone() },
            JournalError::OtherWork(difference) => {
                AlignError::OtherSettings { folder: folder.into(), difference: difference.to_string() }
            }
        })?;
    Ok((journal, records))
}

/// Writes the table of `records`, each with the file it became, in their order.
pub(crate) fn write_table<'a>(
    folder: &Path,
    records: impl Iterator<Item = (&'a AlignmentRecord, String)>,
) -> Result<(), AlignError> {
    let path = folder.join(TABLE);
    let unwritable = |source| AlignError::Unwritable { path: path.clone(), source };
    let mut file = facegrad_files::temporary_beside(&path).map_err(unwritable)?;
    let mut table = csv::Writer::from_writer(io::BufWriter::new(file.as_file_mut()));
    let points = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"];
    let points = points.iter().flat_map(|point| ["x", "y"].map(|axis| format!("{point}_{axis}")));
    let first = ["path", "outcome", "output", "reason", "faces", "score", "left", "top", "right", "bottom"];
    let header: Vec<String> = first.map(String::from).into_iter().chain(points).collect();
    let failed = |error: csv::Error| unwritable(io::Error::other(error));
    table.write_record(&header).map_err(failed)?;
    for (record, output) in records {
        let number = |value: Option<f32>| value.map_or(String::new(), |value| format!("{value:.3}"));
        let output = if record.outcome.has_output() { output } else { String::new() };
        let mut row = vec![
            record.path.clone(),
            record.outcome.as_str().into(),
            output,
            record.reason.clone().unwrap_or_default(),
            record.faces.to_string(),
            record.score.map_or(String::new(), |score| format!("{score:.5}")),
        ];
        row.extend((0..4).map(|i| number(record.bounds.map(|bounds| bounds[i]))));
        row.extend((0..10).map(|i| number(record.landmarks.map(|points| points[i / 2][i % 2]))));
        table.write_record(&row).map_err(failed)?;
    }
    table.flush().map_err(unwritable)?;
    drop(table);
    facegrad_files::commit(file, &path).map_err(unwritable)
}
