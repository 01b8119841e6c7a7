/** Reads the subset of the proto2/proto3 language in which Kubernetes publishes its types. */

export interface ProtoField {
  readonly name: string;
  readonly number: number;
  readonly label: "optional" | "required" | "repeated" | "map";
  /** A scalar name, a message name of the same package, or a full name beginning with a dot. */
  readonly type: string;
  /** `json_name` of the field's options, when written. */
  readonly jsonName?: string;
  readonly comment: readonly string[];
}

export interface ProtoMessage {
  readonly name: string;
  readonly comment: readonly string[];
  readonly fields: readonly ProtoField[];
}

export interface ProtoFile {
  readonly package: string;
  readonly messages: readonly ProtoMessage[];
}

const fieldPattern =
  /^(?:(optional|required|repeated)\s+)?([.\w]+)\s+(\w+)\s*=\s*(\d+)\s*(?:\[(.*)\])?;$/;
const mapPattern = /^map<\s*string\s*,\s*([.\w]+)\s*>\s+(\w+)\s*=\s*(\d+)\s*;$/;

function parseField(line: string, comment: readonly string[]): ProtoField | undefined {
  const map = mapPattern.exec(line);
  if (map) {
    return {
      name: map[2] as string,
      number: Number(map[3]),
      label: "map",
      type: map[1] as string,
      comment,
    };
  }
  const match = fieldPattern.exec(line);
  if (!match) return undefined;
  const json = /json_name\s*=\s*"([^"]+)"/.exec(match[5] ?? "");
  return {
    name: match[3] as string,
    number: Number(match[4]),
    label: (match[1] ?? "optional") as ProtoField["label"],
    type: match[2] as string,
    comment,
    ...(json ? { jsonName: json[1] as string } : {}),
  };
}

/** Parses one `.proto` file; throws on a line inside a message that it does not understand. */
export function parseProto(text: string, path: string): ProtoFile {
  let protoPackage = "";
  const messages: ProtoMessage[] = [];
  let fields: ProtoField[] | undefined;
  let comment: string[] = [];
  for (const raw of text.replace(/^\s*\/\*[\s\S]*?\*\//gm, "").split("\n")) {
    const line = raw.trim();
    if (line.startsWith("//")) {
      comment.push(line.slice(2).replace(/^ /, ""));
      continue;
    }
    if (line === "") {
      comment = [];
      continue;
    }
    const packageName = /^package\s+([\w.]+);$/.exec(line);
    const message = /^message\s+(\w+)\s*\{(\s*\})?$/.exec(line);
    if (packageName) protoPackage = packageName[1] as string;
    else if (message) {
      const own: ProtoField[] = [];
      messages.push({ name: message[1] as string, comment, fields: own });
      fields = message[2] === undefined ? own : undefined;
    } else if (line === "}") fields = undefined;
    else if (fields) {
      const field = parseField(line, comment);
      if (!field) throw new Error(`${path}: cannot parse ${JSON.stringify(line)}`);
      fields.push(field);
    }
    comment = [];
  }
  return { package: protoPackage, messages };
}
