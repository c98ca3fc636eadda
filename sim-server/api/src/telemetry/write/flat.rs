//! FlatBuffers, as much of them as Arrow's messages need: scalars, texts, tables, and vectors of these.
//!
//! What is referred to is written before what refers to it, and the buffer grows towards lower addresses: bytes are kept
//! backwards and turned around at the end. A position is a distance from the buffer's end, which does not change as it grows.
//! Layout: <https://flatbuffers.dev/internals/>.

/// Where something lies: bytes from its start to the buffer's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position(usize);

#[derive(Debug, Default)]
pub(super) struct Flat {
    /// The last byte first.
    backwards: Vec<u8>,
}

/// A field of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    U8(u8),
    I16(i16),
    I64(i64),
    Offset(Position),
}

impl Flat {
    /// Pads so that what is written after `further` more bytes is aligned.
    fn align(&mut self, to: usize, further: usize) {
        while !(self.backwards.len() + further).is_multiple_of(to) {
            self.backwards.push(0);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.backwards.extend(bytes.iter().rev());
    }

    fn here(&self) -> Position {
        Position(self.backwards.len())
    }

    fn offset(&mut self, to: Position) {
        self.align(4, 0);
        let distance = self.backwards.len() + 4 - to.0;
        self.bytes(&(distance as u32).to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) -> Position {
        self.align(4, text.len() + 1);
        self.backwards.push(0);
        self.bytes(text.as_bytes());
        self.bytes(&(text.len() as u32).to_le_bytes());
        self.here()
    }

    pub(super) fn tables(&mut self, tables: &[Position]) -> Position {
        self.align(4, 0);
        for table in tables.iter().rev() {
            self.offset(*table);
        }
        self.bytes(&(tables.len() as u32).to_le_bytes());
        self.here()
    }

    /// A vector of structs of two 64-bit integers.
    pub(super) fn pairs(&mut self, pairs: &[(i64, i64)]) -> Position {
        self.align(8, 0);
        for (first, second) in pairs.iter().rev() {
            self.bytes(&second.to_le_bytes());
            self.bytes(&first.to_le_bytes());
        }
        self.bytes(&(pairs.len() as u32).to_le_bytes());
        self.here()
    }

    /// A table with these fields, each under its number in the schema.
    pub(super) fn table(&mut self, fields: &[(usize, Value)]) -> Position {
        let start = self.backwards.len();
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(fields.len());
        for (number, value) in fields {
            match value {
                Value::U8(value) => self.bytes(&[*value]),
                Value::I16(value) => {
                    self.align(2, 0);
                    self.bytes(&value.to_le_bytes());
                }
                Value::I64(value) => {
                    self.align(8, 0);
                    self.bytes(&value.to_le_bytes());
                }
                Value::Offset(to) => self.offset(*to),
            }
            places.push((*number, self.backwards.len()));
        }
        // The distance to the table of fields, which is not written yet.
        self.align(4, 0);
        self.bytes(&[0; 4]);
        let table = self.backwards.len();
        let count = fields.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        for number in (0..count).rev() {
            let place = places.iter().find(|(held, _)| *held == number).map_or(0, |(_, at)| table - at);
            self.bytes(&(place as u16).to_le_bytes());
        }
        self.bytes(&((table - start) as u16).to_le_bytes());
        self.bytes(&((2 * count + 4) as u16).to_le_bytes());
        let distance = (self.backwards.len() - table) as i32;
        let patch: Vec<u8> = distance.to_le_bytes().into_iter().rev().collect();
        self.backwards[table - 4..table].copy_from_slice(&patch);
        Position(table)
    }

    /// The buffer, which begins with where `root` lies; its length is a multiple of 8.
    pub(super) fn finish(mut self, root: Position) -> Vec<u8> {
        self.align(8, 4);
        self.offset(root);
        self.backwards.reverse();
        self.backwards
    }
}
