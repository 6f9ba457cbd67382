"""What a preparation prints of a store."""

from typing import Any


def report(manifest: dict[str, Any]) -> str:
    """Rows, fields, sizes, bytes, md5, and of a raw text its bad rows and collisions, line by line."""
    lines = [f"store      {manifest['folder']}"]
    if counts := manifest.get("lines"):
        lines.append(
            f"lines      {counts['lines']} = {counts['rows']} rows + {counts['bad']} bad"
            f" + {counts['header']} header"
        )
        lines.extend(f"  bad      {n} x {reason}" for reason, n in counts["bad_by_reason"].items())
        lines.extend(f"  example  line {e['line']}: {e['reason']}" for e in counts["bad_examples"])
    for name, split in manifest["splits"].items():
        rate = split["clicks"] / split["rows"]
        md5 = split["rows_md5"]
        lines.append(f"{name:<10} {split['rows']} rows, {rate:.4f} clicked, md5 of rows {md5}")
    schema = manifest["schema"]
    lines.append(f"features   {sum(f['size'] for f in schema)} in {len(schema)} fields")
    shared = {c["name"]: c for c in manifest.get("collisions", [])}
    for field in schema:
        line = f"  {field['name']:<16} {field['size']:>9}"
        if field["name"] in shared:
            c = shared[field["name"]]
            line += f"  {c['used']:>8} used, about {c['shared']:.1%} of features share a bucket"
        lines.append(line)
    for name, facts in manifest["files"].items():
        lines.append(f"{facts['md5']}  {facts['bytes']:>12}  {name}")
    return "\n".join(lines)
