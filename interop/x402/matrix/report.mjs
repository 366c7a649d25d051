// What was found, cell by cell.

export class Report {
  checks = [];

  /** Adds the outcome of one check; `detail` says what was seen where it failed. */
  add(cell, check, ok, detail) {
    this.checks.push({ ...cell, check, outcome: ok ? "PASS" : "FAIL", detail });
  }

  /** Adds a cell that could not be tried. */
  skip(cell, detail) {
    this.checks.push({ ...cell, check: "", outcome: "skip", detail });
  }

  get failed() {
    return this.checks.filter(check => check.outcome === "FAIL").length;
  }

  /** Prints one row per triple and one column per way to pay, then what failed. */
  print(columns) {
    const rows = [...new Set(this.checks.map(check => check.triple))];
    const width = Math.max(...rows.map(row => row.length), 8);
    console.log(`\n${"payer > server > facilitator".padEnd(width)}  ${columns.map(column => column.padEnd(12)).join("")}`);
    for (const row of rows) {
      const cells = columns.map(column => {
        const checks = this.checks.filter(check => check.triple === row && check.path === column);
        const passed = checks.filter(check => check.outcome === "PASS").length;
        if (checks.length === 0) return "-";
        if (checks.some(check => check.outcome === "FAIL")) return `FAIL ${passed}/${checks.length}`;
        return passed > 0 ? `PASS ${passed}` : "skip";
      });
      console.log(`${row.padEnd(width)}  ${cells.map(cell => cell.padEnd(12)).join("")}`);
    }
    for (const detail of new Set(this.checks.filter(check => check.outcome === "skip").map(check => check.detail))) console.log(`skipped: ${detail}`);
    for (const { triple, path, check, detail } of this.checks.filter(check => check.outcome === "FAIL")) {
      console.log(`FAIL ${triple} ${path} ${check}: ${detail}`);
    }
    const passed = this.checks.filter(check => check.outcome === "PASS").length;
    console.log(`${passed} checks passed, ${this.failed} failed, ${this.checks.length - passed - this.failed} cells skipped`);
  }
}
