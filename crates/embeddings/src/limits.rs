//! How much is read and written at most, so that no file can ask for all memory.

use crate::error::Problem;

/// The longest embedding, in numbers.
pub(crate) const MAX_DIM: usize = 65_536;

/// Most rows of a file: the positions of names are kept as `u32`.
pub(crate) const MAX_ROWS: usize = u32::MAX as usize;

/// Most bytes of rows, as f32, of a file whose format must be read as a whole: two million rows of 512 numbers.
pub(crate) const MAX_LOADED_BYTES: u64 = 4 << 30;

/// The longest name or identity, in bytes: the longest path of Linux.
pub(crate) const MAX_NAME_BYTES: usize = 4096;

/// Most memory for all names, and as much for all identities.
pub(crate) const MAX_NAMES_BYTES: usize = 2 << 30;

/// The longest origin as JSON, in bytes.
pub(crate) const MAX_ORIGIN_BYTES: usize = 64 << 10;

/// Checks the shape of rows that are kept in a file.
pub(crate) fn check_shape(rows: usize, dim: usize) -> Result<(), Problem> {
    if dim == 0 || dim > MAX_DIM || rows > MAX_ROWS {
        return Err(Problem::Content(format!(
            "{rows} embeddings of {dim} numbers; there may be {MAX_ROWS}, of 1 to {MAX_DIM} numbers"
        )));
    }
    Ok(())
}

/// Checks the shape of rows that have to be loaded.
pub(crate) fn check_loaded(rows: usize, dim: usize) -> Result<(), Problem> {
    check_shape(rows, dim)?;
    let bytes = rows as u64 * dim as u64 * 4;
    if bytes > MAX_LOADED_BYTES {
        return Err(Problem::Content(format!(
            "{rows} embeddings of {dim} numbers take {bytes} bytes, more than the {MAX_LOADED_BYTES} that are loaded from a \
             file of this kind; uncompressed .npz and .safetensors are read row by row and have no such bound"
        )));
    }
    Ok(())
}

/// Names or identities, collected within bounds.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: Vec<String>,
    bytes: usize,
}

impl Names {
    /// Counts a name that is kept elsewhere.
    pub(crate) fn check(&mut self, name: &str) -> Result<(), Problem> {
        check_name(name)?;
        self.bytes += name.len() + size_of::<String>();
        if self.bytes > MAX_NAMES_BYTES {
            return Err(Problem::Content(format!(
                "its names take more than {MAX_NAMES_BYTES} bytes of memory; use shorter or fewer"
            )));
        }
        Ok(())
    }

    /// Adds a name.
    pub(crate) fn push(&mut self, name: String) -> Result<(), Problem> {
        self.check(&name)?;
        self.names.push(name);
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// All of them.
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.names
    }
}

/// Whether every format can hold the name.
fn check_name(name: &str) -> Result<(), Problem> {
    if name.len() > MAX_NAME_BYTES {
        let (start, found) = (name.chars().take(40).collect::<String>(), name.len());
        return Err(Problem::Content(format!(
            "the name that begins with {start:?} has {found} bytes; a name may have {MAX_NAME_BYTES}"
        )));
    }
    if name.contains('\0') {
        return Err(Problem::Content(format!(
            "the name {name:?} holds a zero character, which numpy would cut off"
        )));
    }
    Ok(())
}

/// The positions of names in alphabetical order, which also shows that no two are the same.
pub(crate) fn alphabetical(names: &[String]) -> Result<Vec<u32>, Problem> {
    check_shape(names.len(), 1)?;
    let mut order: Vec<u32> = (0..names.len() as u32).collect();
    order.sort_by(|a, b| names[*a as usize].cmp(&names[*b as usize]).then(a.cmp(b)));
    for two in order.windows(2) {
        let [a, b] = [two[0] as usize, two[1] as usize];
        if names[a] == names[b] {
            let name = &names[a];
            return Err(Problem::Content(format!(
                "rows {a} and {b} are both named {name:?}; every row needs a name of its own"
            )));
        }
    }
    Ok(order)
}
