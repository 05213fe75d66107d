/** How the options of commands are declared, and the types of what commands receive. */

/** A whole number; both limits are inclusive. The texts follow the value in an error message. */
export interface NumberRule {
  readonly low: number;
  readonly high: number;
  readonly malformed: (text: string) => string;
  readonly outside: (value: number) => string;
}

/** Whether a command reads a file or writes it. */
export type FileRole = 'input' | 'output';

export interface OptionRow {
  readonly about: string;
  readonly short?: string;
  /** other long names: accepted, never shown */
  readonly aliases?: readonly string[];
  /** accepted, never shown */
  readonly hidden?: true;
  /** takes no value */
  readonly flag?: true;
  /** a value of several items, separated by commas */
  readonly list?: true;
  readonly number?: NumberRule;
  /** the value is the path of a file that is read, or written */
  readonly file?: FileRole;
  readonly values?: readonly string[];
  readonly default?: string;
  /** shown for a default that is determined when it is needed */
  readonly defaultText?: string;
  readonly required?: true;
  /** must be given unless one of these is */
  readonly requiredUnless?: readonly string[];
  /** must be given if that option was given with one of these values */
  readonly requiredIf?: readonly [option: string, values: readonly string[]];
  /** holds in both directions, whichever of the two lists it */
  readonly conflicts?: readonly string[];
  readonly requires?: readonly string[];
}

export interface PositionalRow {
  readonly name: string;
  readonly about: string;
  readonly file?: FileRole;
  /** one or more */
  readonly many?: true;
  /** there are two, and this is the other one's name */
  readonly second?: string;
  readonly required?: true;
  readonly requiredUnless?: readonly string[];
  readonly conflicts?: readonly string[];
}

export interface CommandRow {
  readonly about: string;
  readonly positional?: PositionalRow;
  readonly options: Readonly<Record<string, OptionRow>>;
}

type Given<Row extends OptionRow> = Row extends { list: true }
  ? string[]
  : Row extends { number: NumberRule }
    ? number
    : Row extends { values: readonly (infer Value)[] }
      ? Value
      : string;

/** The value of an option: undefined if it was not given and has no default. */
export type ValueOf<Row extends OptionRow> = Row extends { flag: true }
  ? boolean
  : Row extends { default: string } | { required: true }
    ? Given<Row>
    : Given<Row> | undefined;

export type ValuesOf<Rows extends Readonly<Record<string, OptionRow>>> = {
  readonly [Name in keyof Rows]: ValueOf<Rows[Name]>;
};
