// Breaks a caption into lines as it grows. A line once shown keeps its break
// while its text stands, so that words are appended and nothing jumps.

export type Measure = (text: string) => number;

/** The lines joined are the text; a line keeps the space at its end. */
export function breakLines(
  text: string,
  shown: readonly string[],
  measure: Measure,
  width: number,
): string[] {
  const lines = kept(text, shown);
  let line = "";
  for (const word of wordsOf(text.slice(lines.join("").length))) {
    if (line !== "" && measure((line + word).trimEnd()) > width) {
      lines.push(line);
      line = "";
    }
    line += word;
    while (measure(line.trimEnd()) > width) {
      const head = fitting(line, measure, width);
      if (head === line) break;
      lines.push(head);
      line = line.slice(head.length);
    }
  }
  if (line !== "") lines.push(line);
  return lines;
}

/** Every shown line but the last, as long as the text still begins with them. */
function kept(text: string, shown: readonly string[]): string[] {
  const lines: string[] = [];
  let offset = 0;
  for (const line of shown.slice(0, -1)) {
    if (!text.startsWith(line, offset)) break;
    lines.push(line);
    offset += line.length;
  }
  return lines;
}

/** Words with the space that follows them. */
function wordsOf(text: string): string[] {
  return text.match(/\s*\S+\s*/g) ?? [];
}

/** As many characters of an overlong word as a line takes, at least one. */
function fitting(text: string, measure: Measure, width: number): string {
  const characters = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
  let head = characters[0] ?? text;
  for (const character of characters.slice(1)) {
    if (measure(head + character) > width) break;
    head += character;
  }
  return head;
}
