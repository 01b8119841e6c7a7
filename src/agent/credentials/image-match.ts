/** Which images a pattern like `*.dkr.ecr.*.amazonaws.com/team` stands for. Pure. */

interface Parts {
  readonly labels: readonly string[];
  readonly port: string;
  readonly path: string;
}

function partsOf(text: string): Parts {
  const slash = text.indexOf("/");
  const [host, path] = slash < 0 ? [text, ""] : [text.slice(0, slash), text.slice(slash)];
  const [, name = host, port = ""] = /^(.*):(\d+)$/.exec(host) ?? [];
  return { labels: name.split("."), port, path };
}

/** `*` and `?` within one part of the host's name; the path is the beginning of the image's. */
export function matchesImage(pattern: string, image: string): boolean {
  const [wanted, found] = [partsOf(pattern), partsOf(image)];
  if (wanted.port !== found.port || wanted.labels.length !== found.labels.length) return false;
  if (!found.path.startsWith(wanted.path)) return false;
  return wanted.labels.every((label, at) => globOf(label).test(found.labels[at] ?? ""));
}

function globOf(label: string): RegExp {
  const escaped = label.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`);
}

/** The most telling of the patterns that fit: the longest. */
export function bestMatch(patterns: readonly string[], image: string): string | undefined {
  return patterns
    .filter((pattern) => matchesImage(pattern, image))
    .toSorted((a, b) => b.length - a.length)[0];
}
