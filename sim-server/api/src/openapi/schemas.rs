//! The schemas of what travels, generated from the types that are serialized.

use crate::{error::ErrorBody, routes};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Every type a handler names, with all that these contain.
pub(crate) fn all() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut answers = settings.clone().for_serialize().into_generator();
    let mut requests = settings.for_deserialize().into_generator();

    answers.subschema_for::<ErrorBody>();
    routes::describe_answers(&mut answers);
    routes::describe_requests(&mut requests);

    let mut all = requests.take_definitions(true);
    // A type that is both asked with and answered is described as it is answered.
    all.extend(answers.take_definitions(true));
    all.insert("Nothing".into(), json!({ "type": "null" }));
    all.insert(
        "Scene".into(),
        json!({
            "type": "object",
            "description": "The park as data: `park`, `models`, `devices`, `site`, `network`, `tariff`, `alarms`. Places \
                are metres east, north and up of the park's origin.",
        }),
    );
    all
}
