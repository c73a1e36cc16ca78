// Package moisture computes what sensors say about water in the air: dew points, and how far the cold parts of a machine are
// above them; and it judges that. Pure functions of a snapshot, but for Rooms, which holds the air that was read last.
//
// # Formula
//
// The dew point is Magnus' with Sonntag's constants (b = 17.62, c = 243.12 °C), which stays within 0.06 K of
// Hyland-Wexler from 0 to 50 °C and 8 to 100 % relative humidity. The choice of formula is immaterial next to the
// sensor: ±3 % relative humidity is ±0.9 K of dew point at 22 °C and 50 %. The sensors' errors are carried through to the margin.
//
// # Whose air
//
// A relative humidity means nothing without the temperature of the same air: a room's 60 % with a server's inlet
// temperature gives a dew point of no air at all. A humidity sensor is paired with a temperature sensor only if both say
// they are in the same air (the same context), or have the same name but for the quantity ("Room Humidity", "Room
// Temperature"), and with no more than one candidate left. No pair, no dew point: never a guess.
//
// The dew point itself is conserved when air is warmed, so it may be carried across: from the room to a server's inlet
// or cold plate. A cold part is held against the dew point of its own air where the machine measures that, then of the air that the
// configuration says it stands in (Rooms), then the machine's room sensor. Air that is too old is a gap.
//
// # Judging
//
// Margins, humidities and inlets are judged by Rules (docs/MOISTURE.md has them in words), with hysteresis and one alarm delay for
// all. What that needs of earlier visits is health.AirMemory, kept with the target: the same snapshot, air and memory give the same
// judgement.
package moisture
