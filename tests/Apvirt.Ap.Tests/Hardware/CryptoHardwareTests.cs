using System.Numerics;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Tests.Hardware;

/// <summary>The simulated instructions as FORMAT.md states them, and the data plane.</summary>
public sealed class CryptoHardwareTests
{
    private static readonly Apqn Queue = Apqn.Of(4, 0x47);

    private readonly SimulationRuntime _runtime = new();
    private readonly CryptoHardware _hardware;
    private readonly KernelTask _task;
    private readonly IApInstructions _driver;

    public CryptoHardwareTests()
    {
        _hardware = new CryptoHardware(_runtime, new QciInfo(ApFeatures.Apxa, 255, 255, ApMask.Of(4), ApMask.Of(0x47), ApMask.None));
        _hardware.AddAdapter(4, new AdapterType(14, AdapterType.AcceleratorFunctions, Depth: 2));
        _task = _runtime.CreateTask("test");
        _driver = _hardware.InstructionsFor(ApIssuer.VfioAp);
    }

    private ApStatus Aqic(bool enable) => _runtime.Drive(_driver.AqicAsync(_task, Queue, new AqicControl(enable, 1, 0x1000)));

    [Fact]
    public void Outside_the_configuration_everything_answers_01()
    {
        Assert.Equal(ApResponse.NotAvailable, _driver.Tapq(Apqn.Of(5, 0x47)).Code);
        Assert.Equal(ApResponse.NotAvailable, _driver.Zapq(Apqn.Of(4, 0x48)).Code);
        Assert.Empty(_hardware.ResetCounts());
    }

    [Fact]
    public void Interrupts_are_enabled_once_and_a_reset_clears_them()
    {
        Assert.Equal(ApResponse.Normal, Aqic(enable: true).Code);
        Assert.True(_driver.Tapq(Queue).InterruptEnabled);
        Assert.Equal(ApResponse.OtherwiseChanged, Aqic(enable: true).Code);
        Assert.Equal(ApResponse.Normal, _driver.Zapq(Queue).Code);
        Assert.False(_driver.Tapq(Queue).InterruptEnabled);
        Assert.Equal(ApResponse.OtherwiseChanged, Aqic(enable: false).Code);
    }

    [Fact]
    public void Injected_codes_replace_the_real_one_for_the_driver_only_and_have_no_effect()
    {
        Assert.Equal(ApResponse.Normal, Aqic(enable: true).Code);
        _hardware.Inject(Queue, ApInstruction.Zapq, [ApResponse.Busy, ApResponse.StateChangeInProgress], isSticky: false);
        Assert.Equal(ApResponse.Normal, _hardware.InstructionsFor(ApIssuer.Bus).Tapq(Queue).Code);
        Assert.Equal(ApResponse.Busy, _driver.Zapq(Queue).Code);
        Assert.True(_driver.Tapq(Queue).InterruptEnabled);
        Assert.Equal(ApResponse.StateChangeInProgress, _driver.Zapq(Queue).Code);
        Assert.Equal(ApResponse.Normal, _driver.Zapq(Queue).Code);
        _hardware.Inject(Queue, ApInstruction.Tapq, [ApResponse.Busy], isSticky: true);
        Assert.Equal(ApResponse.Busy, _driver.Tapq(Queue).Code);
        Assert.Equal(ApResponse.Busy, _driver.Tapq(Queue).Code);
        _hardware.Inject(Queue, ApInstruction.Tapq, [], isSticky: false);
        Assert.Equal(ApResponse.Normal, _driver.Tapq(Queue).Code);
    }

    [Fact]
    public void Deconfigured_and_checkstopped_queues_say_so_to_every_instruction()
    {
        _hardware.SetQueueCode(Queue, ApResponse.Deconfigured);
        Assert.Equal(ApResponse.Deconfigured, _driver.Tapq(Queue, out ApQueueInfo info).Code);
        Assert.Equal(14, info.Type);
        _hardware.SetQueueCode(Queue, ApResponse.Normal);
        _hardware.SetCheckstopped(4, isCheckstopped: true);
        Assert.Equal(ApResponse.Checkstopped, _driver.Zapq(Queue).Code);
    }

    [Fact]
    public void A_queue_is_busy_or_resetting_for_a_while()
    {
        _hardware.SetBusy(Queue, TimeSpan.FromMilliseconds(30));
        Assert.Equal(ApResponse.Busy, _driver.Tapq(Queue).Code);
        _runtime.Advance(TimeSpan.FromMilliseconds(30));
        Assert.Equal(ApResponse.Normal, _driver.Tapq(Queue).Code);
        _hardware.ResetTime = TimeSpan.FromMilliseconds(50);
        Assert.Equal(ApResponse.Normal, _driver.Zapq(Queue).Code);
        Assert.Equal(ApResponse.ResetInProgress, _driver.Tapq(Queue).Code);
        _runtime.Advance(TimeSpan.FromMilliseconds(50));
        Assert.Equal(ApResponse.Normal, _driver.Tapq(Queue).Code);
    }

    [Fact]
    public void A_request_is_computed_and_an_echo_comes_back()
    {
        BigInteger modulus = BigInteger.Parse("10142789312725007");
        BigInteger value = 123456789;
        BigInteger exponent = 65537;
        Assert.Equal(ApResponse.Normal, _driver.Nqap(Queue, 7, ClearKeyMessage.ModularExponentiation(value, exponent, modulus)).Code);
        Assert.True(_driver.Tapq(Queue).RepliesWaiting);
        Assert.Equal(ApResponse.Normal, _driver.Dqap(Queue, out ulong psmid, out ReadOnlyMemory<byte> reply).Code);
        Assert.Equal(7u, psmid);
        Assert.True(ClearKeyMessage.TryDecode(reply.Span, out ushort code, out byte[][] operands));
        Assert.Equal((ushort)ClearKeyResult.Ok, code);
        // Square and multiply by hand, so that the expectation is not the library call under test.
        BigInteger expected = 1;
        for (int bit = 16; bit >= 0; bit--)
        {
            expected = expected * expected % modulus;
            if (((65537 >> bit) & 1) != 0)
                expected = expected * value % modulus;
        }
        Assert.Equal(expected, new BigInteger(operands[0], isUnsigned: true, isBigEndian: true));
        byte[] echo = ClearKeyMessage.Encode((ushort)ClearKeyFunction.Echo, "hello"u8.ToArray());
        Assert.Equal(ApResponse.Normal, _driver.Nqap(Queue, 8, echo).Code);
        Assert.Equal(ApResponse.Normal, _driver.Dqap(Queue, out _, out reply).Code);
        Assert.True(ClearKeyMessage.TryDecode(reply.Span, out _, out operands));
        Assert.Equal("hello"u8.ToArray(), operands[0]);
        Assert.Equal(ApResponse.NoPendingReply, _driver.Dqap(Queue, out _, out _).Code);
    }

    [Fact]
    public void A_full_queue_takes_no_more_and_a_reset_loses_what_is_in_it()
    {
        byte[] echo = ClearKeyMessage.Encode((ushort)ClearKeyFunction.Echo, [1]);
        _hardware.RequestTime = TimeSpan.FromSeconds(1);
        Assert.Equal(ApResponse.Normal, _driver.Nqap(Queue, 1, echo).Code);
        Assert.Equal(ApResponse.Normal, _driver.Nqap(Queue, 2, echo).Code);
        ApStatus full = _driver.Nqap(Queue, 3, echo);
        Assert.Equal((ApResponse.NoPendingReply, true), (full.Code, full.QueueFull));
        Assert.Equal(ApResponse.NoPendingReply, _driver.Dqap(Queue, out _, out _).Code);
        Assert.Equal(ApResponse.Normal, _driver.Zapq(Queue).Code);
        Assert.Equal(2, _hardware.LostRequests);
        _runtime.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(ApResponse.NoPendingReply, _driver.Dqap(Queue, out _, out _).Code);
        Assert.True(_driver.Tapq(Queue).QueueEmpty);
    }
}
