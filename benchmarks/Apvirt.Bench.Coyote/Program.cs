using System.Globalization;
using Apvirt.Bench.Coyote;

// PROGRAM STRATEGY SECONDS all|first: everything in one search, or the first deadlock of several seeds. The program is as in
// LockTasks, instructions apart by commas and tasks by semicolons. Prints lines of the form name=value.
if (args is not [var program, var strategy, var seconds, var until and ("all" or "first")])
{
    Console.Error.WriteLine("usage: PROGRAM STRATEGY SECONDS all|first");
    return 64;
}
int[][] code = [.. program.Split(';').Select(task => task.Split(',').Select(word => int.Parse(word, CultureInfo.InvariantCulture)).ToArray())];
CoyoteSearch search = new(code, strategy, int.Parse(seconds, CultureInfo.InvariantCulture));
Console.WriteLine($"version={CoyoteSearch.Version}");
if (until == "all")
    search.PrintAll(Console.Out);
else
    search.PrintFirst(Console.Out);
return 0;
