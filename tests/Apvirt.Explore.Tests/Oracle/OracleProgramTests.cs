namespace Apvirt.Explore.Tests.Oracle;

/// <summary>Programs are read from their text, and what is no program is refused.</summary>
public sealed class OracleProgramTests
{
    [Theory]
    [InlineData("lock m, try n skip 1, unlock n, unlock m | spin l, unspin l")]
    [InlineData("read-lock s, read-unlock s, try-read s skip 1, read-unlock s | write-lock s, write-unlock s, try-write s skip 1, write-unlock s")]
    [InlineData("wait e, wait e for 10ms skip 1, complete e, complete-all e | reset e, wait e for 1s, load x, load x skip 1, store x -3")]
    public void A_program_is_read(string text) => Assert.Equal(text, OracleProgram.Parse(text).ToString());

    [Fact]
    public void What_is_read_is_what_was_written()
    {
        OracleProgram program = OracleProgram.Parse([["lock a", "try b skip 1", "unlock b", "unlock a"], ["lock b", "store x -7", "unlock b", "load x skip 0"]]);
        Assert.Equal(["a", "b", "x"], program.Objects.Select(o => o.Name));
        Assert.Equal([false, true, false], program.Objects.Select(o => o.Tried));
        Assert.Equal(1, program.Tasks[0][1].Skip);
        Assert.Equal(-7, program.Tasks[1][1].Value);
        Assert.Equal(StepKind.Load, program.Tasks[1][3].Kind);
    }

    [Theory]
    [InlineData("lock")]
    [InlineData("hug m")]
    [InlineData("lock m skip 1, unlock m")]
    [InlineData("try m skip 2, unlock m")]
    [InlineData("try m skip -1")]
    [InlineData("store x")]
    [InlineData("store x y")]
    [InlineData("wait e for")]
    [InlineData("wait e for ever")]
    [InlineData("lock m | spin m")]
    [InlineData("lock m | lock m | lock m | lock m | lock m | lock m | lock m | lock m | lock m")]
    public void What_is_no_program_is_refused(string text) => Assert.Throws<FormatException>(() => OracleProgram.Parse(text));

    [Theory]
    [InlineData("unlock m")]
    [InlineData("lock m, unlock m, unlock m")]
    [InlineData("read-lock s, read-lock s")]
    [InlineData("write-lock s, read-unlock s")]
    public void A_release_of_what_is_not_held_is_refused_when_it_happens(string text) =>
        Assert.Throws<InvalidOperationException>(() => BruteForce.Explore(OracleProgram.Parse(text)));
}
