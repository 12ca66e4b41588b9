// Texts that strangers may have chosen: the same rule as in api/cli/texts.py.

// controls, formats, private characters, spaces other than the usual one, and letters and marks without a shape
const UNSEEN = /(?! )[\p{C}\p{Z}\p{DI}\u2800]/gu;
const SHORT = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

function escaped(character) {
  const code = character.codePointAt(0);
  const [letter, digits] = code > 0xffff ? ["U", 8] : code > 0xff ? ["u", 4] : ["x", 2];
  return SHORT[character] ?? `\\${letter}${code.toString(16).padStart(digits, "0")}`;
}

/** The text with control, invisible and direction characters, and spaces other than the usual one, as \u200b. */
export const visible = (text) => text.replace(UNSEEN, escaped);
