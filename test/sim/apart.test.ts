/** Clusters whose controllers and scheduler reach the server over a bad network. */
import { testSeeds } from "./seeds.ts";

testSeeds(true);
