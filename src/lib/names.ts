/** What Kubernetes accepts as names, label keys and label values; answers are its own wordings. */

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomain = `${label}(\\.${label})*`;
const qualified = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

const labelPattern = new RegExp(`^${label}$`);
const subdomainPattern = new RegExp(`^${subdomain}$`);
const qualifiedPattern = new RegExp(`^${qualified}$`);
const labelValuePattern = new RegExp(`^(${qualified})?$`);

const tooLong = (max: number): string => `must be no more than ${max} characters`;
/** Upstream's newer rules, of labels, count bytes. */
const tooBig = (max: number): string => `must be no more than ${max} bytes`;

function regexError(message: string, pattern: string, ...examples: string[]): string {
  const shown = examples.map((example) => `'${example}'`).join(",  or ");
  const example = examples.length === 0 ? "" : `e.g. ${shown}, `;
  return `${message} (${example}regex used for validation is '${pattern}')`;
}

const qualifiedRule = regexError(
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
    "alphanumeric character",
  qualified,
  "MyName",
  "my.name",
  "123-abc",
);

/** Errors of an RFC 1123 subdomain: the names of most objects. */
export function subdomainErrors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 253) errors.push(tooLong(253));
  if (!subdomainPattern.test(value))
    errors.push(
      regexError(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, " +
          "'-' or '.', and must start and end with an alphanumeric character",
        subdomain,
        "example.com",
      ),
    );
  return errors;
}

const searchLabel = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const search = `_?${searchLabel}(\\._?${searchLabel})*`;
const searchPattern = new RegExp(`^${search}$`);

/** Errors of a DNS search path, whose labels may begin with an underscore as service records do. */
export function searchErrors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 253) errors.push(tooLong(253));
  if (!searchPattern.test(value))
    errors.push(
      regexError(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, " +
          "'_', '-' or '.', and must start and end with an alphanumeric character",
        search,
        "example.com",
      ),
    );
  return errors;
}

/** Errors of an RFC 1123 label: namespaces, containers, volumes. */
export function labelErrors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 63) errors.push(tooLong(63));
  if (!labelPattern.test(value))
    errors.push(
      subdomainPattern.test(value)
        ? "must not contain dots"
        : regexError(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters " +
              "or '-', and must start and end with an alphanumeric character",
            label,
            "my-name",
            "123-abc",
          ),
    );
  return errors;
}

/** Errors of an RFC 1035 label: services before 1.34, still the wording of service names. */
export function label1035Errors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 63) errors.push(tooLong(63));
  if (!/^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(value))
    errors.push(
      regexError(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', " +
          "start with an alphabetic character, and end with an alphanumeric character",
        "[a-z]([-a-z0-9]*[a-z0-9])?",
        "my-name",
        "abc-123",
      ),
    );
  return errors;
}

/** Errors of a label key: an optional DNS prefix and a name. */
export function labelKeyErrors(value: string): string[] {
  const errors: string[] = [];
  const parts = value.split("/");
  let name = value;
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    name = parts[1] ?? "";
    if (prefix === "") errors.push("prefix part must be non-empty");
    else errors.push(...subdomainErrors(prefix).map((error) => `prefix part ${error}`));
  } else if (parts.length > 2) {
    return [
      `a valid label key ${qualifiedRule} with an optional DNS subdomain prefix and '/' ` +
        "(e.g. 'example.com/MyName')",
    ];
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push(`name part ${tooBig(63)}`);
  if (!qualifiedPattern.test(name)) errors.push(`name part ${qualifiedRule}`);
  return errors;
}

/** Errors of a label value: empty or a qualified name of at most 63 characters. */
export function labelValueErrors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 63) errors.push(tooBig(63));
  if (!labelValuePattern.test(value))
    errors.push(
      regexError(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', " +
          "'_' or '.', and must start and end with an alphanumeric character",
        `(${qualified})?`,
        "MyValue",
        "my_value",
        "12345",
      ),
    );
  return errors;
}

/** Errors of a key in a ConfigMap or Secret. */
export function configMapKeyErrors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 253) errors.push(tooLong(253));
  if (!/^[-._a-zA-Z0-9]+$/.test(value))
    errors.push(
      regexError(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        "[-._a-zA-Z0-9]+",
        "key.name",
        "KEY_NAME",
        "key-name",
      ),
    );
  if (value === ".") errors.push("must not be '.'");
  if (value === "..") errors.push("must not be '..'");
  else if (value.startsWith("..")) errors.push("must not start with '..'");
  return errors;
}

/** Errors of a name that only becomes a path segment: roles and bindings. */
export function pathSegmentErrors(value: string): string[] {
  if (value === "." || value === "..") return [`may not be '${value}'`];
  return ["/", "%"]
    .filter((part) => value.includes(part))
    .map((part) => `may not contain '${part}'`);
}

/** Errors of the name of a port (IANA_SVC_NAME). */
export function portNameErrors(value: string): string[] {
  const errors: string[] = [];
  if (value.length > 15) errors.push(tooLong(15));
  if (!/^[-a-z0-9]+$/.test(value))
    errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(value)) errors.push("must contain at least one letter (a-z)");
  if (value.includes("--")) errors.push("must not contain consecutive hyphens");
  if (value.startsWith("-") || value.endsWith("-"))
    errors.push("must not begin or end with a hyphen");
  return errors;
}

/** True for resources that are not Kubernetes' own: `example.com/gpu`. */
export function isExtendedResourceName(name: string): boolean {
  const isNative = !name.includes("/") || name.includes("kubernetes.io/");
  if (isNative || name.startsWith("requests.")) return false;
  return labelKeyErrors(`requests.${name}`).length === 0;
}

/** Resources of these names are devices of the class of the rest of the name. */
export const implicitDevicePrefix = "deviceclass.resource.kubernetes.io/";

/** True for resources that a class of devices may stand for. */
export function mayBeDeviceResource(name: string): boolean {
  return name.startsWith(implicitDevicePrefix) || isExtendedResourceName(name);
}
