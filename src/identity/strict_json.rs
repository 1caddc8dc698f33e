//! Reads JSON of strangers: an object whose members are there once, not too deep and not too many.
//!
//! Two readers of an object with a member that is there twice may go by different ones, so none is read.
//! Sources: RFC 8259, section 4; RFC 7515, section 4; RFC 7519, section 4.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// How deep objects and arrays may stand in each other, and how many values there may be in all.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) depth: usize,
    pub(super) values: usize,
}

/// Why something is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotStrict {
    /// It is no JSON object, or something follows it.
    Syntax,
    /// A member is there twice.
    Duplicate(String),
    TooDeep,
    TooMany,
}

/// The members of the object that `bytes` are.
pub(super) fn object(bytes: &[u8], bounds: Bounds) -> Result<Map<String, Value>, NotStrict> {
    let (left, fault) = (Cell::new(bounds.values), RefCell::new(None));
    let reader = Reader { depth: bounds.depth, left: &left, fault: &fault };
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let value = reader.deserialize(&mut input).and_then(|value| input.end().map(|()| value));
    match value {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(NotStrict::Syntax),
        Err(_) => Err(fault.take().unwrap_or(NotStrict::Syntax)),
    }
}

/// Reads one value, and those inside of it.
#[derive(Clone, Copy)]
struct Reader<'a> {
    depth: usize,
    left: &'a Cell<usize>,
    /// What serde's errors have no place for.
    fault: &'a RefCell<Option<NotStrict>>,
}

impl Reader<'_> {
    fn refuse<E: Error>(&self, fault: NotStrict) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }

    /// For what is inside of an object or an array.
    fn inside<E: Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(self.refuse(NotStrict::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(self.refuse(NotStrict::TooMany)),
        }
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.refuse(NotStrict::Syntax))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Value, A::Error> {
        let (inside, mut elements) = (self.inside()?, Vec::new());
        while let Some(element) = input.next_element_seed(inside)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Value, A::Error> {
        let (inside, mut members) = (self.inside()?, Map::new());
        while let Some(name) = input.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(self.refuse(NotStrict::Duplicate(name)));
            }
            let value = input.next_value_seed(inside)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
