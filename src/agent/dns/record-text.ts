/** Resource records as zone files write them: `name 60 IN A 192.0.2.1`. */
import type { Answer } from "dns-packet";

/** @throws Error naming the text that is no record, or of a type not known here */
export function parseRecord(text: string): Answer {
  const [name = "", ...rest] = text.trim().split(/\s+/);
  const seconds = /^\d+$/.test(rest[0] ?? "") ? Number(rest.shift()) : 3600;
  if (/^IN$/i.test(rest[0] ?? "")) rest.shift();
  const [type = "", ...words] = rest;
  const head = { name: bare(name), ttl: seconds };
  const data = words[0] ?? "";
  const [first = 0, second = 0, third = 0] = words.map(Number);
  switch (type.toUpperCase()) {
    case "A":
    case "AAAA":
      return { ...head, type: type.toUpperCase() as "A" | "AAAA", data };
    case "CNAME":
    case "PTR":
    case "NS":
      return { ...head, type: type.toUpperCase() as "CNAME" | "PTR" | "NS", data: bare(data) };
    case "TXT":
      return { ...head, type: "TXT", data: textOf(text) };
    case "MX":
      return { ...head, type: "MX", data: { preference: first, exchange: bare(words[1] ?? "") } };
    case "SRV": {
      const target = bare(words[3] ?? "");
      return {
        ...head,
        type: "SRV",
        data: { priority: first, weight: second, port: third, target },
      };
    }
    case "SOA": {
      const [serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0] = words
        .slice(2)
        .map((word) => Number(word.replace(/[()]/g, "")));
      const names = { mname: bare(data), rname: bare(words[1] ?? "") };
      return {
        ...head,
        type: "SOA",
        data: { ...names, serial, refresh, retry, expire, minimum },
      };
    }
    default:
      throw new Error(`cannot read the record "${text}"`);
  }
}

function bare(name: string): string {
  return name.replace(/\.$/, "");
}

/** The quoted strings of a TXT record, or the one word that it is. */
function textOf(text: string): string[] {
  const quoted = [...text.matchAll(/"([^"]*)"/g)].map(([, inside = ""]) => inside);
  return quoted.length > 0 ? quoted : [text.replace(/^.*\bTXT\s+/i, "")];
}
