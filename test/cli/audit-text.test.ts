import { describe, expect, test } from "bun:test";
import { reportText } from "../../src/cli/output/audit-text.ts";
import type { AuditReport } from "../../src/replay/audit-report.ts";

/** Reasons are written by operators, and read by other people's programs. */
const report: AuditReport = {
  title: "Access",
  facts: [["head", "5:2055b6e0a017ef34781b23b4c6ff6deba1fbf531df1e8ae676dc7fcac8c7e122"]],
  sections: [
    {
      title: "Changes",
      columns: ["by", "why"],
      rows: [
        { by: "ada", why: "a | b\n<script>*x*</script>" },
        { by: "bob", why: '=HYPERLINK("x")' },
      ],
    },
    { title: "None", columns: ["by"], rows: [] },
  ],
};

describe("what others wrote stays text", () => {
  test("in Markdown", () => {
    const text = reportText(report, "markdown");
    expect(text).toContain("| ada | a \\| b\uFFFD\\<script\\>\\*x\\*\\</script\\> |\n");
    expect(text).toContain("- head: `5:2055b6e0");
    expect(text).toContain("## None\n\nNothing.\n");
  });

  test("in a page", () => {
    const text = reportText(report, "html");
    expect(text).not.toContain("<script>");
    expect(text).toContain("<td>a | b\uFFFD&lt;script&gt;*x*&lt;/script&gt;</td>");
  });

  test("in a table: quoted, and never a formula", () => {
    const text = reportText(report, "csv");
    expect(text).toContain(`"'=HYPERLINK(""x"")"`);
    const [heads, ...lines] = text.trimEnd().split("\r\n");
    expect(lines.map((line) => line.split('","').length)).toEqual(lines.map(() => heads?.split('","').length ?? 0));
  });
});
