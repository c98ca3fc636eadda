//! Text people read: Fluent messages in zh-CN and en, embedded, switched at run time.

use crate::model::Fault;
use bevy::prelude::Resource;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use shared::text::{Language, Text};
use std::borrow::Cow;
use unic_langid::langid;

const CHINESE: &str = include_str!("../../assets/i18n/zh-CN/client.ftl");
const ENGLISH: &str = include_str!("../../assets/i18n/en/client.ftl");

/// Both translations as text, for the test that every character has a glyph.
#[cfg(test)]
pub(crate) const SOURCES: [&str; 2] = [CHINESE, ENGLISH];

/// The messages of both languages and the one in use.
#[derive(Resource)]
pub struct I18n {
    language: Language,
    chinese: FluentBundle<FluentResource>,
    english: FluentBundle<FluentResource>,
}

impl I18n {
    pub fn new(language: Language) -> Self {
        Self { language, chinese: bundle(langid!("zh-CN"), CHINESE), english: bundle(langid!("en"), ENGLISH) }
    }

    pub fn language(&self) -> Language {
        self.language
    }

    pub fn set_language(&mut self, language: Language) {
        self.language = language;
    }

    /// A message without arguments.
    pub fn t(&self, key: &str) -> Cow<'_, str> {
        self.format(key, None)
    }

    /// A message with arguments.
    pub fn tf<'a>(&'a self, key: &str, arguments: &'a FluentArgs) -> Cow<'a, str> {
        self.format(key, Some(arguments))
    }

    /// A message with one argument.
    pub fn t1<'a>(&self, key: &str, name: &'a str, value: impl Into<FluentValue<'a>>) -> String {
        let mut arguments = FluentArgs::new();
        arguments.set(name, value);
        self.format(key, Some(&arguments)).into_owned()
    }

    /// A bilingual text in the language in use.
    pub fn text<'a>(&self, text: &'a Text) -> &'a str {
        text.get(self.language)
    }

    /// Why something did not work, with the other side's own words behind.
    pub fn fault(&self, fault: &Fault) -> String {
        let kind = self.fault_kind(fault);
        match &fault.detail {
            Some(detail) => format!("{kind} ({detail})"),
            None => kind.into_owned(),
        }
    }

    /// Why something did not work, in a few words.
    pub fn fault_kind(&self, fault: &Fault) -> Cow<'_, str> {
        self.t(fault.kind.key())
    }

    fn format<'a>(&'a self, key: &str, arguments: Option<&'a FluentArgs>) -> Cow<'a, str> {
        let bundle = match self.language {
            Language::Chinese => &self.chinese,
            Language::English => &self.english,
        };
        // A missing key shows itself; a test keeps it from happening.
        let Some(pattern) = bundle.get_message(key).and_then(|m| m.value()) else {
            return Cow::Owned(format!("⟨{key}⟩"));
        };
        bundle.format_pattern(pattern, arguments, &mut Vec::new())
    }
}

fn bundle(language: unic_langid::LanguageIdentifier, source: &str) -> FluentBundle<FluentResource> {
    let mut bundle = FluentBundle::new_concurrent(vec![language]);
    // Isolation marks have no glyphs in the font and no use in two left-to-right languages.
    bundle.set_use_isolating(false);
    // What does not parse is left out and shows as its key; a test refuses it.
    let resource = FluentResource::try_new(source.to_owned()).unwrap_or_else(|(partial, _)| partial);
    bundle.add_resource_overriding(resource);
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    fn keys(source: &str) -> BTreeSet<String> {
        FluentResource::try_new(source.to_owned()).expect("the file parses");
        source
            .lines()
            .filter(|line| !line.starts_with([' ', '#', '-']))
            .filter_map(|line| line.split_once(" ="))
            .map(|(key, _)| key.trim().to_owned())
            .collect()
    }

    fn sources(folder: &Path, out: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("i18n.rs") {
                out.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn both_languages_have_the_same_keys() {
        assert_eq!(keys(CHINESE), keys(ENGLISH));
    }

    #[test]
    fn every_key_the_code_uses_exists_and_every_key_is_used() {
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        let known = keys(ENGLISH);
        let called: BTreeSet<String> = [".t(\"", ".tf(\"", ".t1(\""]
            .iter()
            .flat_map(|call| code.split(call).skip(1))
            .filter_map(|part| part.split_once('"'))
            .map(|(key, _)| key.to_owned())
            .collect();
        let missing: Vec<_> = called.iter().filter(|key| !known.contains(*key)).collect();
        assert!(missing.is_empty(), "used but not translated: {missing:?}");
        let unused: Vec<_> = known.iter().filter(|key| !code.contains(&format!("\"{key}\""))).collect();
        assert!(unused.is_empty(), "translated but not used: {unused:?}");
    }

    #[test]
    fn arguments_are_filled_in_and_missing_keys_show() {
        let mut i18n = I18n::new(Language::English);
        assert!(i18n.t1("age-seconds", "n", 5).contains('5'));
        assert_eq!(i18n.t("no-such-key"), "⟨no-such-key⟩");
        let english = i18n.t("app-connecting").into_owned();
        i18n.set_language(Language::Chinese);
        assert_ne!(i18n.t("app-connecting"), english);
    }
}
