//! The whole command line with a model that the library does not know.

use std::{path::Path, process::Command};

fn program(arguments: &[&str], folder: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_own-model"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it ends by itself"), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_model_of_ones_own_has_every_task() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = |arguments: &str| {
        let words: Vec<_> = arguments.split_whitespace().collect();
        let (code, text) = program(&words, folder.path());
        assert_eq!(code, 0, "{arguments}: {text}");
        text
    };
    assert!(done("models").contains("average"));
    assert!(done("config average").contains("beta = 1.0"));
    let data = "--data mfeat --set data.rows=200 --missing 0.3 --set model.latent=3";
    done(&format!("train --model average {data} --epochs 1 --out run"));
    done("train --resume run --epochs 2");
    done("encode run --out z.npz");
    done("generate run --given fac --target pix --out pix.npz");
    done("generate run --prior --out prior.npz");
    done("sampler fit run --kind gmm");
    done("export run --out exported");
    let text = done("evaluate run --metrics evaluation,reconstruction,likelihood --samples 5");
    assert!(text.contains("Evidence lower bound"), "{text}");
    for file in ["z.npz", "pix.npz", "prior.npz", "run/bundle/model.safetensors", "exported"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}

#[test]
fn a_setting_that_the_model_does_not_have_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["train", "--model", "average", "--data", "mfeat", "--set", "model.gamma=1"];
    let (code, text) = program(&arguments, folder.path());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("unknown field `gamma`") && text.contains("`average`"), "{text}");
}
