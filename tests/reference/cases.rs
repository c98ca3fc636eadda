// Which files the runner of a family reads. Included by each runner with `#[path]`, so that they agree.

use std::path::{Path, PathBuf};

/// The families of the layout, each a folder of this name; README.md says what is in them.
const FAMILIES: [&str; 3] = ["dispatch", "powerflow", "pv"];

/// The cases of a family: those kept here, which may not be none, and those of the folders named by `PARK_REFERENCE_DIR`.
pub(crate) fn cases(family: &str, extension: &str) -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("tests/reference"))
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| panic!("{} is no crate of this workspace", env!("CARGO_MANIFEST_DIR")));
    let further = std::env::var("PARK_REFERENCE_DIR").unwrap_or_default();
    let found = own_cases(&own, family, extension).and_then(|own_cases| {
        Ok([own_cases, further_cases(&own.join("../.."), &further, family, extension)?])
    });
    let mut found = found.unwrap_or_else(|fault| panic!("{fault}")).concat();
    found.sort();
    found
}

fn own_cases(own: &Path, family: &str, extension: &str) -> Result<Vec<PathBuf>, String> {
    files(&own.join(family), extension)
}

/// A further folder may lack a family, but not be missing, hold none, or hold one without a case: that is a mistyped name. Relative
/// ones are meant from the workspace's root, whichever crate's test reads them.
fn further_cases(root: &Path, folders: &str, family: &str, extension: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for folder in folders.split(':').filter(|folder| !folder.is_empty()).map(|folder| root.join(folder)) {
        let name = folder.display();
        if !folder.is_dir() {
            return Err(format!("PARK_REFERENCE_DIR: there is no folder {name}"));
        }
        if !FAMILIES.iter().any(|family| folder.join(family).is_dir()) {
            return Err(format!(
                "PARK_REFERENCE_DIR: {name} holds no folder of a family ({})",
                FAMILIES.join(", ")
            ));
        }
        let family = folder.join(family);
        if family.is_dir() {
            found.extend(files(&family, extension)?);
        }
    }
    Ok(found)
}

fn files(family: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let fault = |what: String| format!("{}: {what}", family.display());
    let entries = std::fs::read_dir(family).map_err(|error| fault(error.to_string()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>();
    let mut paths = paths.map_err(|error| fault(error.to_string()))?;
    paths.retain(|path| path.extension().is_some_and(|e| e == extension));
    if paths.is_empty() {
        return Err(fault(format!("no case (*.{extension})")));
    }
    Ok(paths)
}

#[test]
fn a_folder_that_is_missing_or_holds_no_case_is_named_and_one_that_lacks_a_family_is_fine() {
    let root = std::env::temp_dir().join(format!("park-reference-{}", std::process::id()));
    for folder in ["both/dispatch", "both/pv", "only-pv/pv", "empty-pv/pv", "typo/dispatc"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["both/dispatch/a.json", "both/pv/a.csv", "both/pv/notes.txt", "only-pv/pv/b.csv"] {
        std::fs::write(root.join(file), "").unwrap();
    }
    let names = |folders: &str, family: &str, extension: &str| {
        let found = further_cases(&root, folders, family, extension)?;
        Ok::<Vec<PathBuf>, String>(found.iter().map(|p| p.strip_prefix(&root).unwrap().to_owned()).collect())
    };
    let absolute = format!("{}/both::only-pv", root.display());
    let none: [&str; 0] = [];
    for (folders, family, extension, expected) in [
        ("", "pv", "csv", Ok(&none[..])),
        (&absolute, "pv", "csv", Ok(&["both/pv/a.csv", "only-pv/pv/b.csv"])),
        ("both:only-pv", "dispatch", "json", Ok(&["both/dispatch/a.json"])),
        ("both:mistyped", "pv", "csv", Err("there is no folder")),
        ("typo", "dispatch", "json", Err("holds no folder of a family")),
        ("both/pv", "pv", "csv", Err("holds no folder of a family")),
        ("empty-pv", "pv", "csv", Err("no case (*.csv)")),
        ("empty-pv", "dispatch", "json", Ok(&none[..])),
    ] {
        match (names(folders, family, extension), expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(
                    found,
                    expected.iter().map(PathBuf::from).collect::<Vec<_>>(),
                    "{folders} {family}"
                );
            }
            (Err(fault), Err(expected)) => {
                let last = folders.rsplit(':').next().unwrap();
                assert!(fault.contains(expected) && fault.contains(last), "{folders} {family}: {fault}");
            }
            (got, expected) => panic!("{folders} {family}: {got:?} instead of {expected:?}"),
        }
    }
    std::fs::remove_dir_all(&root).unwrap();
}
