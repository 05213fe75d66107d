/** What mutators need to know of a record of lib/layout: its size and where its fields begin. */
export interface Struct {
  readonly size: number;
  readonly offsets: Readonly<Record<string, number>>;
}
