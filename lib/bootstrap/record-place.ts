/** A record in a bootstrap, whatever its fields are. */
export interface RecordPlace {
  readonly layout: {
    readonly name: string;
    readonly size: number;
    /** by field, in their order */
    readonly offsets: Readonly<Record<string, number>>;
    decode(buf: Buffer, at?: number): object;
  };
  /** in the bootstrap, in bytes */
  readonly offset: number;
}
