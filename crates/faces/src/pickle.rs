//! Pickles, read as data.
//!
//! Python's pickle is a program for a stack machine, and running it can run anything. The machine here knows
//! the opcodes that build lists, tuples, strings, numbers and booleans, in protocols 0 to 5, and the few names
//! with which numpy and Python rebuild arrays of bytes, booleans or whole numbers and byte strings. A name is never looked up
//! or called: its arguments are recognised, and their data taken. Everything else is refused.
//!
//! A hostile file cannot take much: strings stay in the file as [`Blob`]s, containers lie in a list of their
//! own and are named by number (so that sharing through the memo costs nothing, cycles do no harm, and nothing
//! recurses, not even dropping), and the number of opcodes is limited.
//!
//! The opcodes are those of Python's `Lib/pickletools.py`; what numpy writes is in `numpy/_core/multiarray`
//! (`_reconstruct`, `scalar`) and `numpy/_core/numeric.py` (`_frombuffer`).

use std::{
    collections::HashMap,
    io::{self, BufRead, Seek},
};

/// Longest string, in bytes of the file.
pub(crate) const MAX_STRING: u64 = facegrad_pictures::decode::MAX_FILE_SIZE;
/// Most opcodes. LFW's 6,000 pairs of numpy arrays take 0.2 million.
const MAX_OPCODES: usize = 2_000_000;
/// Most lists and tuples that are open inside one another. numpy arrays in a list take 3.
const MAX_OPEN: usize = 32;
/// Longest line that holds a number or a name, in bytes.
const MAX_LINE: usize = 256;
/// Strings of at most this many bytes may be words with a meaning.
const MAX_WORD: u64 = 32;

/// Why a pickle is not read.
#[derive(Debug)]
pub(crate) enum PickleError {
    /// What the system says.
    Unreadable(io::Error),
    /// What is wrong with the opcode at `offset`, as a clause.
    Refused { offset: u64, reason: String },
}

impl From<io::Error> for PickleError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// What the machine works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Text(Blob),
    Bytes(Blob),
    /// A list, by its number.
    List(usize),
    /// A tuple, by its number.
    Tuple(usize),
    /// A numpy array, by its number.
    Array(usize),
    Dtype(Dtype),
    Name(Name),
}

impl Value {
    /// What it is, for messages.
    pub fn kind(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "a byte string",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Array(_) => "an array",
            Self::Dtype(_) => "a dtype",
            Self::Name(_) => "a name",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Text(blob) | Self::Bytes(blob) => WORDS[usize::from(blob.word)],
            _ => "",
        }
    }
}

/// A string: where it lies in the file and how it is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blob {
    pub offset: u64,
    /// Bytes in the file, at most [`MAX_STRING`].
    pub length: u32,
    pub coding: Coding,
    /// Which of [`WORDS`] it is.
    word: u8,
}

/// How the bytes of a string are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Plain,
    /// Each byte as a character of UTF-8.
    Utf8,
    /// As in a string literal of Python 2.
    Literal,
    /// Each byte as a character of Python's `raw-unicode-escape`.
    UnicodeEscape,
}

/// The strings with a meaning; the first stands for all others.
const WORDS: [&str; 20] = [
    "",
    "numpy",
    "numpy.core.multiarray",
    "numpy._core.multiarray",
    "numpy.core.numeric",
    "numpy._core.numeric",
    "_codecs",
    "builtins",
    "__builtin__",
    "bytearray",
    "_reconstruct",
    "scalar",
    "_frombuffer",
    "ndarray",
    "dtype",
    "encode",
    "latin1",
    "latin-1",
    "\0",
    "\x01",
];

/// The names that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Encode,
    Reconstruct,
    Scalar,
    FromBuffer,
    NdArray,
    Dtype,
    ByteArray,
}

impl Name {
    fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("_codecs", "encode") => Self::Encode,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("builtins" | "__builtin__", "bytearray") => Self::ByteArray,
            _ => return None,
        })
    }
}

/// The type of the elements of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    Byte,
    Boolean,
    /// Whole numbers of so many bytes.
    Integer(u8),
    /// So many bytes of any meaning, as `numpy.void` has them.
    Void(u32),
}

impl Dtype {
    /// What numpy calls `name`, without the byte order; none of what no list of images needs.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "u1" => Self::Byte,
            "b1" => Self::Boolean,
            "i1" => Self::Integer(1),
            "i2" | "u2" => Self::Integer(2),
            "i4" | "u4" => Self::Integer(4),
            "i8" | "u8" => Self::Integer(8),
            _ => Self::Void(name.strip_prefix('V').filter(|length| !length.starts_with('+'))?.parse().ok()?),
        })
    }

    /// Bytes of an element.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Byte | Self::Boolean => 1,
            Self::Integer(bytes) => bytes.into(),
            Self::Void(bytes) => bytes.into(),
        }
    }
}

/// A numpy array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Array {
    pub dtype: Dtype,
    /// The number of axes along which it has other than one element.
    pub long_sides: usize,
    /// The number of elements its shape gives.
    pub elements: u64,
    pub data: Blob,
}

/// What a pickle holds.
pub(crate) struct Pickle {
    pub root: Value,
    sequences: Vec<Vec<Value>>,
    arrays: Vec<Option<Array>>,
}

impl Pickle {
    /// The elements of a list or tuple.
    pub fn items(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::List(number) | Value::Tuple(number) => self.sequences.get(number).map(Vec::as_slice),
            _ => None,
        }
    }

    /// An array, if `value` is one and has its data.
    pub fn array(&self, value: Value) -> Option<Array> {
        match value {
            Value::Array(number) => *self.arrays.get(number)?,
            _ => None,
        }
    }
}

/// Reads the pickle at the start of `source`, which has `length` bytes. What follows it is not looked at, as in
/// Python.
pub(crate) fn read(source: impl BufRead + Seek, length: u64) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        source,
        length,
        at: 0,
        opcode_at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        sequences: Vec::new(),
        arrays: Vec::new(),
    };
    for _ in 0..MAX_OPCODES {
        if let Some(root) = machine.step()? {
            return Ok(Pickle { root, sequences: machine.sequences, arrays: machine.arrays });
        }
    }
    machine.refuse(format!("more than {MAX_OPCODES} opcodes are not read"))
}

struct Machine<R> {
    source: R,
    length: u64,
    /// How much of the source is read or skipped.
    at: u64,
    opcode_at: u64,
    stack: Vec<Value>,
    /// The height of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    /// Lists and tuples.
    sequences: Vec<Vec<Value>>,
    /// Arrays; those that BUILD has not given their data yet are `None`.
    arrays: Vec<Option<Array>>,
}

type Done<T = ()> = Result<T, PickleError>;

impl<R: BufRead + Seek> Machine<R> {
    /// Carries out one opcode. The one that ends the pickle gives its value.
    fn step(&mut self) -> Done<Option<Value>> {
        self.opcode_at = self.at;
        let [opcode] = self.take()?;
        let value = match opcode {
            // Lists, tuples, and the marks that open them.
            b'(' => {
                if self.marks.len() == MAX_OPEN {
                    return self.refuse(format!("more than {MAX_OPEN} marks are open inside one another"));
                }
                self.marks.push(self.stack.len());
                return Ok(None);
            }
            b']' => self.list(Vec::new()),
            b'l' => {
                let items = self.since_mark()?;
                self.list(items)
            }
            b'a' => {
                let item = self.pop()?;
                return self.append(vec![item]);
            }
            b'e' => {
                let items = self.since_mark()?;
                return self.append(items);
            }
            b')' => self.tuple(Vec::new()),
            b't' => {
                let items = self.since_mark()?;
                self.tuple(items)
            }
            0x85..=0x87 => {
                let mut items = vec![Value::None; usize::from(opcode - 0x84)];
                for item in items.iter_mut().rev() {
                    *item = self.pop()?;
                }
                self.tuple(items)
            }
            // Numbers and booleans.
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'I' => match self.line()?.as_str() {
                "00" => Value::Bool(false),
                "01" => Value::Bool(true),
                number => Value::Int(self.number(number)?),
            },
            b'L' => {
                let line = self.line()?;
                Value::Int(self.number(line.strip_suffix('L').unwrap_or(&line))?)
            }
            b'J' => Value::Int(i32::from_le_bytes(self.take()?).into()),
            b'K' => Value::Int(self.unsigned::<1>()? as i64),
            b'M' => Value::Int(self.unsigned::<2>()? as i64),
            0x8A => Value::Int(self.long()?),
            // Byte strings: those of Python 2, then those of Python 3.
            b'S' => Value::Bytes(self.literal()?),
            b'U' | b'C' => Value::Bytes(self.blob::<1>(Coding::Plain)?),
            b'T' | b'B' => Value::Bytes(self.blob::<4>(Coding::Plain)?),
            0x8E | 0x96 => Value::Bytes(self.blob::<8>(Coding::Plain)?),
            // Text.
            b'V' => Value::Text(self.blob_line(Coding::UnicodeEscape)?),
            0x8C => Value::Text(self.blob::<1>(Coding::Utf8)?),
            b'X' => Value::Text(self.blob::<4>(Coding::Utf8)?),
            0x8D => Value::Text(self.blob::<8>(Coding::Utf8)?),
            // The memo. There are fewer entries than opcodes.
            b'p' => return self.key_line().and_then(|key| self.memoize(key)),
            b'q' => return self.unsigned::<1>().and_then(|key| self.memoize(key)),
            b'r' => return self.unsigned::<4>().and_then(|key| self.memoize(key)),
            0x94 => return self.memoize(self.memo.len() as u64),
            b'g' => self.key_line().and_then(|key| self.recall(key))?,
            b'h' => self.unsigned::<1>().and_then(|key| self.recall(key))?,
            b'j' => self.unsigned::<4>().and_then(|key| self.recall(key))?,
            // Names and what is made with them.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(&module, &name)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match Name::of(module.word(), name.word()) {
                    Some(name) => Value::Name(name),
                    None => {
                        let (module, name) = (self.excerpt(module)?, self.excerpt(name)?);
                        self.name(&module, &name)?
                    }
                }
            }
            b'R' => self.reduce()?,
            b'b' => return self.build(),
            // The frame around the pickle.
            0x80 => {
                let [protocol] = self.take()?;
                if protocol > 5 {
                    return self.refuse(format!("protocol {protocol} is not known, only 0 to 5 are"));
                }
                return Ok(None);
            }
            0x95 => {
                let frame = self.unsigned::<8>()?;
                if frame > self.left() {
                    return self.refuse(format!(
                        "a frame of {frame} bytes is announced, and {} are left",
                        self.left()
                    ));
                }
                return Ok(None);
            }
            b'.' => return self.pop().map(Some),
            other => return self.refuse(not_allowed(other)),
        };
        self.stack.push(value);
        Ok(None)
    }

    fn refuse<T>(&self, reason: impl Into<String>) -> Done<T> {
        Err(PickleError::Refused { offset: self.opcode_at, reason: reason.into() })
    }

    fn left(&self) -> u64 {
        self.length - self.at
    }

    /// The next bytes.
    fn take<const N: usize>(&mut self) -> Done<[u8; N]> {
        if self.left() < N as u64 {
            return self.refuse("the file ends before the pickle does");
        }
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// A line with a number or a name, without its end.
    fn line(&mut self) -> Done<String> {
        let mut line = Vec::new();
        loop {
            match self.take()? {
                [b'\n'] => break,
                [byte] if line.len() < MAX_LINE => line.push(byte),
                _ => return self.refuse(format!("a number or name has more than {MAX_LINE} bytes")),
            }
        }
        String::from_utf8(line).or_else(|_| self.refuse("a number or name is not UTF-8"))
    }

    fn number(&self, text: &str) -> Done<i64> {
        text.parse().or_else(|_| self.refuse(format!("{:?} is not a number of 64 bits", shorten(text))))
    }

    /// A place of the memo, in a line.
    fn key_line(&mut self) -> Done<u64> {
        let line = self.line()?;
        let key = line.parse::<u32>().map(u64::from);
        key.or_else(|_| self.refuse(format!("{:?} is not a place of the memo", shorten(&line))))
    }

    /// A number without sign in `N` bytes, at most eight.
    fn unsigned<const N: usize>(&mut self) -> Done<u64> {
        let bytes: [u8; N] = self.take()?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A number in as many bytes as the next one says, with sign.
    fn long(&mut self) -> Done<i64> {
        let [length] = self.take()?;
        if length > 8 {
            return self.refuse(format!("a number of {length} bytes is announced; at most 8 are read"));
        }
        let mut number = 0;
        for k in 0..length {
            number |= i64::from(u8::from_le_bytes(self.take()?)) << (8 * k);
        }
        // Shifting up and down again spreads the sign.
        let unused = 64 - 8 * u32::from(length);
        Ok(if length == 0 { 0 } else { number << unused >> unused })
    }

    /// The string behind its length in `N` bytes.
    fn blob<const N: usize>(&mut self, coding: Coding) -> Done<Blob> {
        let length = self.unsigned::<N>()?;
        if length > self.left() {
            let left = self.left();
            return self.refuse(format!("a string of {length} bytes is announced, and {left} are left"));
        }
        if length > MAX_STRING {
            return self.too_long();
        }
        let offset = self.at;
        let mut head = [0; MAX_WORD as usize];
        let head = if length <= MAX_WORD { &mut head[..length as usize] } else { &mut [] };
        self.source.read_exact(head)?;
        self.source.seek_relative((length - head.len() as u64) as i64)?;
        self.at += length;
        // Bounded above, so it fits.
        Ok(Blob { offset, length: length as u32, coding, word: word(head, coding) })
    }

    /// The string up to the end of the line.
    fn blob_line(&mut self, coding: Coding) -> Done<Blob> {
        let offset = self.at;
        let mut head = Vec::new();
        loop {
            let buffer = self.source.fill_buf()?;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            // One byte more than a word has tells that it is none.
            head.extend(part.iter().take(MAX_WORD as usize + 1 - head.len()));
            let used = part.len() + usize::from(end.is_some());
            self.source.consume(used);
            self.at += used as u64;
            if self.at - offset > MAX_STRING {
                return self.too_long();
            }
            if end.is_some() {
                break;
            }
            if used == 0 {
                return self.refuse("the file ends before the pickle does");
            }
        }
        let length = self.at - 1 - offset;
        let head = if length <= MAX_WORD { &head[..] } else { &[] };
        Ok(Blob { offset, length: length as u32, coding, word: word(head, coding) })
    }

    /// The string in quotes up to the end of the line.
    fn literal(&mut self) -> Done<Blob> {
        let line = self.blob_line(Coding::Literal)?;
        let (first, last) = match line.length {
            0 | 1 => return self.refuse("a string literal has no quotes"),
            length => (self.peek(line.offset, 1)?, self.peek(line.offset + u64::from(length) - 1, 1)?),
        };
        if first != last || !(first == b"'" || first == b"\"") {
            return self.refuse("a string literal has no quotes");
        }
        let mut blob = Blob { offset: line.offset + 1, length: line.length - 2, ..line };
        if u64::from(blob.length) <= MAX_WORD {
            blob.word = word(&self.peek(blob.offset, blob.length as usize)?, Coding::Literal);
        }
        Ok(blob)
    }

    fn too_long<T>(&self) -> Done<T> {
        self.refuse(format!("a string is longer than {} MiB", MAX_STRING >> 20))
    }

    /// Bytes that were read before; there must be that many.
    fn peek(&mut self, offset: u64, length: usize) -> Done<Vec<u8>> {
        let mut bytes = vec![0; length];
        // Within what is buffered this moves no file.
        let back = (self.at - offset) as i64;
        self.source.seek_relative(-back)?;
        self.source.read_exact(&mut bytes)?;
        self.source.seek_relative(back - length as i64)?;
        Ok(bytes)
    }

    /// A string for a message.
    fn excerpt(&mut self, value: Value) -> Done<String> {
        match value {
            Value::Text(blob) | Value::Bytes(blob) => {
                let bytes = self.peek(blob.offset, blob.length.min(64) as usize)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            other => Ok(other.kind().to_owned()),
        }
    }

    fn pop(&mut self) -> Done<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(value) if self.stack.len() >= floor => Ok(value),
            _ => self.refuse("the opcode takes a value, and there is none"),
        }
    }

    /// What lies above the last mark, which is closed.
    fn since_mark(&mut self) -> Done<Vec<Value>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => self.refuse("the opcode takes the values since a mark, and there is none"),
        }
    }

    fn sequence(&mut self, items: Vec<Value>) -> usize {
        self.sequences.push(items);
        self.sequences.len() - 1
    }

    fn list(&mut self, items: Vec<Value>) -> Value {
        Value::List(self.sequence(items))
    }

    fn tuple(&mut self, items: Vec<Value>) -> Value {
        Value::Tuple(self.sequence(items))
    }

    fn append(&mut self, items: Vec<Value>) -> Done<Option<Value>> {
        match self.pop()? {
            Value::List(number) => {
                self.sequences[number].extend(items);
                self.stack.push(Value::List(number));
                Ok(None)
            }
            other => self.refuse(format!("a value is appended to {}, which is not a list", other.kind())),
        }
    }

    fn memoize(&mut self, key: u64) -> Done<Option<Value>> {
        let value = self.pop()?;
        self.stack.push(value);
        self.memo.insert(key, value);
        Ok(None)
    }

    fn recall(&self, key: u64) -> Done<Value> {
        match self.memo.get(&key) {
            Some(&value) => Ok(value),
            None => self.refuse(format!("place {key} of the memo is empty")),
        }
    }

    fn name(&self, module: &str, name: &str) -> Done<Value> {
        match Name::of(module, name) {
            Some(name) => Ok(Value::Name(name)),
            None => self.refuse(format!(
                "the name {}.{} is not allowed: only those that rebuild arrays of bytes or booleans are",
                shorten(module),
                shorten(name)
            )),
        }
    }

    /// The number of sides of a shape that are not 1, and the number of elements.
    fn shape(&self, value: Value) -> Option<(usize, u64)> {
        let Value::Tuple(number) = value else { return None };
        let sides = &self.sequences[number];
        let elements = sides.iter().try_fold(1u64, |product, side| match side {
            Value::Int(side) => product.checked_mul(u64::try_from(*side).ok()?),
            _ => None,
        })?;
        Some((sides.iter().filter(|side| **side != Value::Int(1)).count(), elements))
    }

    /// What a call would give.
    fn reduce(&mut self) -> Done<Value> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Name(name)) = (arguments, callee) else {
            return self.refuse(format!("a call of {} with {}", callee.kind(), arguments.kind()));
        };
        match (name, &self.sequences[arguments][..]) {
            // Each byte of the string is a character of the text.
            (Name::Encode, &[Value::Text(text), codec]) if matches!(codec.word(), "latin1" | "latin-1") => {
                Ok(Value::Bytes(text))
            }
            (Name::Dtype, &[kind, ref flags @ ..])
                if flags.iter().all(|flag| matches!(flag, Value::Bool(_) | Value::Int(_))) =>
            {
                let kind = self.excerpt(kind)?;
                match Dtype::of(&kind) {
                    Some(dtype) => Ok(Value::Dtype(dtype)),
                    None => self.refuse(format!(
                        "the dtype {:?} is not allowed: only those of bytes, booleans and whole numbers are",
                        shorten(&kind)
                    )),
                }
            }
            (Name::Scalar, &[Value::Dtype(Dtype::Void(_)), Value::Bytes(data)]) => Ok(Value::Bytes(data)),
            // With the codec where protocols have no bytes.
            (Name::ByteArray, &[Value::Bytes(data)]) => Ok(Value::Bytes(data)),
            (Name::ByteArray, &[Value::Text(text), codec])
                if matches!(codec.word(), "latin1" | "latin-1") =>
            {
                Ok(Value::Bytes(text))
            }
            (Name::Scalar, &[Value::Dtype(Dtype::Boolean), Value::Bytes(byte)])
                if matches!(Value::Bytes(byte).word(), "\0" | "\x01") =>
            {
                Ok(Value::Bool(Value::Bytes(byte).word() == "\x01"))
            }
            (Name::Reconstruct, &[Value::Name(Name::NdArray), Value::Tuple(_), Value::Bytes(_)]) => {
                self.arrays.push(None);
                Ok(Value::Array(self.arrays.len() - 1))
            }
            (Name::FromBuffer, &[Value::Bytes(data), Value::Dtype(dtype), shape, _]) => {
                match self.shape(shape) {
                    Some((long_sides, elements)) => {
                        self.arrays.push(Some(Array { dtype, long_sides, elements, data }));
                        Ok(Value::Array(self.arrays.len() - 1))
                    }
                    None => self.refuse("an array has no shape"),
                }
            }
            _ => {
                self.refuse(format!("{name:?} is called with arguments it does not have in a list of images"))
            }
        }
    }

    /// Gives a dtype its byte order, which one byte does not have, or an array its data.
    fn build(&mut self) -> Done<Option<Value>> {
        let (state, object) = (self.pop()?, self.pop()?);
        self.stack.push(object);
        let Value::Tuple(state) = state else {
            return self.refuse(format!("{} is given {} for a state", object.kind(), state.kind()));
        };
        match (object, &self.sequences[state][..]) {
            (Value::Dtype(_), _) => Ok(None),
            (Value::Array(number), &[Value::Int(_), shape, Value::Dtype(dtype), _, Value::Bytes(data)]) => {
                match (self.shape(shape), self.arrays[number]) {
                    (Some((long_sides, elements)), None) => {
                        self.arrays[number] = Some(Array { dtype, long_sides, elements, data });
                        Ok(None)
                    }
                    (None, _) => self.refuse("an array has no shape"),
                    (_, Some(_)) => self.refuse("an array is given its data twice"),
                }
            }
            _ => self.refuse(format!("{} is given a state it does not have", object.kind())),
        }
    }
}

/// The bytes of a string from those in the file.
///
/// # Errors
/// What is wrong with them, as a clause.
pub(crate) fn decode(raw: Vec<u8>, coding: Coding) -> Result<Vec<u8>, &'static str> {
    match coding {
        Coding::Plain => Ok(raw),
        Coding::Utf8 => std::str::from_utf8(&raw)
            .map_err(|_| "its text is not UTF-8")?
            .chars()
            .map(|c| u8::try_from(c).map_err(|_| "its text has characters that are not bytes"))
            .collect(),
        Coding::Literal => decode_literal(&raw),
        Coding::UnicodeEscape => decode_unicode_escape(&raw),
    }
}

/// Python's `codecs.escape_decode`.
fn decode_literal(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [escaped, tail @ ..] = rest else { return Err("a backslash ends its text") };
        rest = tail;
        match escaped {
            b'\n' => {}
            b'\\' | b'\'' | b'"' => bytes.push(*escaped),
            b'a' => bytes.push(7),
            b'b' => bytes.push(8),
            b't' => bytes.push(b'\t'),
            b'n' => bytes.push(b'\n'),
            b'v' => bytes.push(11),
            b'f' => bytes.push(12),
            b'r' => bytes.push(b'\r'),
            b'x' => {
                bytes.push(hexadecimal(rest, 2).ok_or("\\x in its text lacks two hexadecimal digits")? as u8);
                rest = &rest[2..];
            }
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
                let digits = rest[..more].iter().map(|digit| u32::from(digit - b'0'));
                // As in Python, \777 is cut to a byte.
                bytes.push(digits.fold(u32::from(escaped - b'0'), |value, digit| 8 * value + digit) as u8);
                rest = &rest[more..];
            }
            _ => bytes.extend([b'\\', *escaped]),
        }
    }
    Ok(bytes)
}

/// Python's `raw-unicode-escape`, of characters that are bytes.
fn decode_unicode_escape(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let digits = match (first, rest) {
            (b'\\', [b'u', ..]) => 4,
            (b'\\', [b'U', ..]) => 8,
            (b'\\', [other, tail @ ..]) => {
                bytes.extend([b'\\', *other]);
                rest = tail;
                continue;
            }
            _ => {
                bytes.push(*first);
                continue;
            }
        };
        let character = hexadecimal(&rest[1..], digits).ok_or("\\u in its text lacks hexadecimal digits")?;
        bytes.push(u8::try_from(character).map_err(|_| "its text has characters that are not bytes")?);
        rest = &rest[1 + digits..];
    }
    Ok(bytes)
}

/// The number that the first `digits` bytes write.
fn hexadecimal(text: &[u8], digits: usize) -> Option<u32> {
    text.get(..digits)?.iter().try_fold(0, |value, &digit| Some(16 * value + char::from(digit).to_digit(16)?))
}

/// The place of a string in [`WORDS`].
fn word(raw: &[u8], coding: Coding) -> u8 {
    let bytes = decode(raw.to_vec(), coding).unwrap_or_default();
    WORDS.iter().position(|word| word.as_bytes() == bytes).unwrap_or(0) as u8
}

/// The start of a text from the file, fit for a sentence.
fn shorten(text: &str) -> String {
    text.chars().take(48).flat_map(char::escape_debug).collect()
}

fn not_allowed(opcode: u8) -> String {
    let name = match opcode {
        b'0' => "POP",
        b'1' => "POP_MARK",
        b'2' => "DUP",
        b'F' | b'G' => "FLOAT",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        b'P' | b'Q' => "PERSID",
        0x82..=0x84 => "EXT",
        b'd' | b'}' => "DICT",
        b's' | b'u' => "SETITEM",
        0x8F => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x8B => "LONG4",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return format!("{opcode:#04x} is not an opcode of a pickle"),
    };
    format!("the opcode {name} is not allowed in a list of images")
}
