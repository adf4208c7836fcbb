using Apvirt.Kernel.Runtime;

namespace Apvirt.Kernel.Tests.Runtime;

/// <summary>Who goes on depends on the seed and the number of the execution alone.</summary>
public sealed class ChooserTests
{
    private static readonly int[] Three = [4, 7, 9];

    public static TheoryData<string> Choosers => ["random", "priorities"];

    private static IChooser Make(string name, ulong seed) => name == "random" ? new RandomChooser(seed) : new PriorityChooser(seed, changes: 2, length: 10);

    private static int[] Choose(IChooser chooser, long number)
    {
        chooser.Begin(number);
        return [.. Enumerable.Range(0, 10).Select(_ => chooser.Choose(Three, running: false))];
    }

    [Theory]
    [MemberData(nameof(Choosers))]
    public void An_execution_is_the_same_whoever_chooses_for_it_and_whatever_was_chosen_before(string name)
    {
        IChooser one = Make(name, 1);
        int[] fifth = Choose(one, 5);
        Choose(one, 3);
        Assert.Equal(fifth, Choose(one, 5));
        Assert.Equal(fifth, Choose(Make(name, 1), 5));
        Assert.Contains(Enumerable.Range(0, 20), number => !fifth.SequenceEqual(Choose(one, number)));
        Assert.Contains(Enumerable.Range(2, 20), seed => !fifth.SequenceEqual(Choose(Make(name, (ulong)seed), 5)));
    }

    [Fact]
    public void A_random_walk_takes_each_way_as_often_and_every_second_time_no_switch()
    {
        RandomChooser chooser = new(1);
        chooser.Begin(0);
        int[] counts = new int[3];
        for (int i = 0; i < 9000; i++)
            counts[chooser.Choose(Three, running: false)]++;
        Assert.All(counts, count => Assert.InRange(count, 2800, 3200));
        int stays = Enumerable.Range(0, 9000).Count(_ => chooser.Choose(Three, running: true) == 2);
        Assert.InRange(stays, 4300, 4700);
    }

    [Fact]
    public void With_priorities_one_task_goes_on_until_a_change()
    {
        for (long number = 0; number < 100; number++)
        {
            PriorityChooser steady = new(1, changes: 0, length: 10);
            Assert.Single(Choose(steady, number).Distinct());
            // Each change can only move one task to the end.
            int[] chosen = Choose(new PriorityChooser(1, changes: 2, length: 10), number);
            Assert.InRange(Enumerable.Range(1, 9).Count(i => chosen[i] != chosen[i - 1]), 0, 2);
        }
    }
}
