//! Words that a correction may not touch: numbers, and words that turn the meaning round. And those that it may drop.
//!
//! Digits are known in every language, words only in those listed here.

/// What a number word means, as digits.
pub(super) fn number(word: &str, language: Option<&str>) -> Option<&'static str> {
    numbers(language).iter().find(|(known, _)| *known == word).map(|(_, digits)| *digits)
}

/// The number words of a language that are known, with what they mean as digits.
pub(super) fn numbers(language: Option<&str>) -> &'static [(&'static str, &'static str)] {
    match language {
        Some("en") => ENGLISH,
        Some("de") => GERMAN,
        Some("fr") => FRENCH,
        Some("es") => SPANISH,
        Some(_) | None => &[],
    }
}

/// A character that is a number by itself, in Chinese and Japanese.
pub(super) fn is_numeral(letter: char) -> bool {
    "〇零一二三四五六七八九十百千万萬億亿兆两兩".contains(letter)
}

/// Yes, no, not, never and their like; the same name for those that mean the same.
pub(super) fn polarity(word: &str, language: Option<&str>) -> Option<&'static str> {
    let turned = match language {
        Some("en") => {
            if word.ends_with("n't") || word == "cannot" {
                return Some("not");
            }
            ENGLISH_POLARITY
        }
        Some("de") => GERMAN_POLARITY,
        Some("fr") => FRENCH_POLARITY,
        Some("es") => SPANISH_POLARITY,
        Some("zh" | "yue") => CHINESE_POLARITY,
        Some(_) | None => &[],
    };
    turned.iter().find(|known| **known == word).copied()
}

/// Sounds of thinking; they may go.
pub(super) fn is_filler(word: &str) -> bool {
    const FILLERS: &[&str] =
        &["um", "umm", "uh", "uhm", "erm", "hm", "hmm", "mhm", "äh", "ähm", "öh", "öhm", "euh", "eh", "ehm"];
    FILLERS.contains(&word)
}

const ENGLISH: &[(&str, &str)] = &[
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
    ("eleven", "11"),
    ("twelve", "12"),
    ("thirteen", "13"),
    ("fourteen", "14"),
    ("fifteen", "15"),
    ("sixteen", "16"),
    ("seventeen", "17"),
    ("eighteen", "18"),
    ("nineteen", "19"),
    ("twenty", "20"),
    ("thirty", "30"),
    ("forty", "40"),
    ("fifty", "50"),
    ("sixty", "60"),
    ("seventy", "70"),
    ("eighty", "80"),
    ("ninety", "90"),
    ("hundred", "100"),
    ("thousand", "1000"),
    ("million", "1000000"),
    ("billion", "1000000000"),
    ("dozen", "dozen"),
    ("half", "half"),
    ("first", "1st"),
    ("second", "2nd"),
    ("third", "3rd"),
    ("fourth", "4th"),
    ("fifth", "5th"),
    ("sixth", "6th"),
    ("seventh", "7th"),
    ("eighth", "8th"),
    ("ninth", "9th"),
    ("tenth", "10th"),
];

const GERMAN: &[(&str, &str)] = &[
    ("null", "0"),
    ("ein", "1"),
    ("eins", "1"),
    ("eine", "1"),
    ("einen", "1"),
    ("zwei", "2"),
    ("zwo", "2"),
    ("drei", "3"),
    ("vier", "4"),
    ("fünf", "5"),
    ("sechs", "6"),
    ("sieben", "7"),
    ("acht", "8"),
    ("neun", "9"),
    ("zehn", "10"),
    ("elf", "11"),
    ("zwölf", "12"),
    ("dreizehn", "13"),
    ("vierzehn", "14"),
    ("fünfzehn", "15"),
    ("sechzehn", "16"),
    ("siebzehn", "17"),
    ("achtzehn", "18"),
    ("neunzehn", "19"),
    ("zwanzig", "20"),
    ("dreißig", "30"),
    ("vierzig", "40"),
    ("fünfzig", "50"),
    ("sechzig", "60"),
    ("siebzig", "70"),
    ("achtzig", "80"),
    ("neunzig", "90"),
    ("hundert", "100"),
    ("tausend", "1000"),
    ("million", "1000000"),
    ("millionen", "1000000"),
    ("milliarde", "1000000000"),
    ("milliarden", "1000000000"),
    ("halb", "half"),
    ("erste", "1st"),
    ("zweite", "2nd"),
    ("dritte", "3rd"),
];

const FRENCH: &[(&str, &str)] = &[
    ("zéro", "0"),
    ("un", "1"),
    ("une", "1"),
    ("deux", "2"),
    ("trois", "3"),
    ("quatre", "4"),
    ("cinq", "5"),
    ("six", "6"),
    ("sept", "7"),
    ("huit", "8"),
    ("neuf", "9"),
    ("dix", "10"),
    ("onze", "11"),
    ("douze", "12"),
    ("treize", "13"),
    ("quatorze", "14"),
    ("quinze", "15"),
    ("seize", "16"),
    ("vingt", "20"),
    ("vingts", "20"),
    ("trente", "30"),
    ("quarante", "40"),
    ("cinquante", "50"),
    ("soixante", "60"),
    ("cent", "100"),
    ("cents", "100"),
    ("mille", "1000"),
    ("million", "1000000"),
    ("millions", "1000000"),
    ("milliard", "1000000000"),
    ("milliards", "1000000000"),
    ("demi", "half"),
    ("premier", "1st"),
    ("première", "1st"),
    ("deuxième", "2nd"),
    ("troisième", "3rd"),
];

const SPANISH: &[(&str, &str)] = &[
    ("cero", "0"),
    ("un", "1"),
    ("uno", "1"),
    ("una", "1"),
    ("dos", "2"),
    ("tres", "3"),
    ("cuatro", "4"),
    ("cinco", "5"),
    ("seis", "6"),
    ("siete", "7"),
    ("ocho", "8"),
    ("nueve", "9"),
    ("diez", "10"),
    ("once", "11"),
    ("doce", "12"),
    ("trece", "13"),
    ("catorce", "14"),
    ("quince", "15"),
    ("dieciséis", "16"),
    ("diecisiete", "17"),
    ("dieciocho", "18"),
    ("diecinueve", "19"),
    ("veinte", "20"),
    ("treinta", "30"),
    ("cuarenta", "40"),
    ("cincuenta", "50"),
    ("sesenta", "60"),
    ("setenta", "70"),
    ("ochenta", "80"),
    ("noventa", "90"),
    ("cien", "100"),
    ("ciento", "100"),
    ("mil", "1000"),
    ("millón", "1000000"),
    ("millones", "1000000"),
    ("medio", "half"),
    ("primero", "1st"),
    ("segundo", "2nd"),
    ("tercero", "3rd"),
];

const ENGLISH_POLARITY: &[&str] =
    &["yes", "no", "not", "never", "none", "nothing", "nobody", "neither", "nor", "without"];
const GERMAN_POLARITY: &[&str] = &[
    "ja", "nein", "nicht", "nie", "niemals", "nichts", "niemand", "kein", "keine", "keinen", "keinem",
    "keiner", "ohne",
];
const FRENCH_POLARITY: &[&str] =
    &["oui", "non", "ne", "pas", "jamais", "rien", "personne", "aucun", "aucune", "sans"];
const SPANISH_POLARITY: &[&str] =
    &["sí", "no", "nunca", "jamás", "nada", "nadie", "ningún", "ninguno", "ninguna", "tampoco", "sin"];
const CHINESE_POLARITY: &[&str] = &["不", "没", "沒", "无", "無", "非", "别", "別", "未"];
